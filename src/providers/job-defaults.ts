import { type Static, Type } from 'typebox';
import { Limits } from '../protocol/prompt.ts';

const closed = { additionalProperties: false } as const;
const DAY_MS = 86_400_000;

/** A setting that may be left alone. */
export const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(
  schema: T,
  description: string,
) => Type.Union([schema, Type.Null()], { default: null, description });

/** What the settings say of every provider: the defaults of its jobs and how many run at once. */
export const JobDefaults = {
  model: nullable(
    Type.String({ pattern: '^[A-Za-z0-9][\\w.:/@-]{0,127}$' }),
    'model of a job that names none; null: BULLPEN_MODEL, else the CLI decides',
  ),
  concurrency: nullable(
    Type.Integer({ minimum: 1, maximum: 1000 }),
    'executions of this provider at once; null: as many as BULLPEN_CONCURRENCY allows',
  ),
  timeoutMs: nullable(
    Type.Integer({ minimum: 1, maximum: DAY_MS }),
    'run time of a job that names none (ms); null: BULLPEN_TIMEOUT_MS',
  ),
  idleTimeoutMs: nullable(
    Type.Integer({ minimum: 1, maximum: DAY_MS }),
    'silence allowed to a job that names none (ms); null: BULLPEN_IDLE_TIMEOUT_MS',
  ),
  limits: Type.Object(Limits.properties, {
    ...closed,
    default: {},
    description: 'what one execution may use; a job may ask for less',
  }),
};

const jobDefaults = Type.Object(JobDefaults);
export type JobDefaults = Static<typeof jobDefaults>;
