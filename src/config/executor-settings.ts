/** The settings of an executor on another host: of the server that uses it, and its own. */
import { type Static, Type } from '#typebox';
import { limit, list, ORIGIN, optional, SECOND, span, text } from './setting-kinds.ts';

export const EXECUTOR_SETTINGS = {
  executor: Type.Enum(['local', 'http'], {
    env: 'BULLPEN_EXECUTOR',
    formerEnv: 'ARCH_MODE',
    default: 'local',
    description:
      'Where CLIs run: in this server, or in an executor on another host (`bullpen executor`). The values of ARCH_MODE are modular (http) and monolithic (local).',
  }),
  executorFallback: Type.Enum(['none', 'local'], {
    env: 'BULLPEN_EXECUTOR_FALLBACK',
    default: 'none',
    description:
      'What happens to new executions while the executor cannot be reached: they wait, or run in this server.',
  }),
  serviceUrl: text('CLAUDE_SERVICE_URL', 'The address of the executor, for a server that uses one.', {
    default: 'http://127.0.0.1:3001',
    ...ORIGIN,
  }),
  serviceTimeoutMs: span(
    'CLAUDE_SERVICE_TIMEOUT',
    10 * SECOND,
    'How long an answer of the executor may take. A job may take longer: its events are followed in many answers.',
    100,
  ),
  serviceHost: text('CLAUDE_SERVICE_HOST', 'The address that `bullpen executor` listens on.', {
    default: '127.0.0.1',
    minLength: 1,
  }),
  servicePort: Type.Integer({
    env: 'CLAUDE_SERVICE_PORT',
    default: 3001,
    minimum: 0,
    maximum: 65_535,
    description: 'The port that `bullpen executor` listens on. With 0, the system chooses a free one.',
  }),
  serviceSecrets: list(
    'CLAUDE_SERVICE_SECRET',
    'none',
    'The secret that the server and the executor share: 32 or more bytes without a comma. While it is changed, the new one and the old one: the first signs, both are accepted.',
  ),
  serviceSecretFile: optional(
    'CLAUDE_SERVICE_SECRET_FILE',
    'none',
    'A file with that secret, in place of the variable; one secret a line. Every user may read it only when it belongs to root, as a mounted secret of a container does.',
  ),
  serviceRequestsPerMinute: limit(
    'CLAUDE_SERVICE_REQUESTS_PER_MINUTE',
    100,
    'How many requests an address may make to the executor a minute. null, in the file, is any number.',
  ),
  serviceExempt: {
    ...list(
      'CLAUDE_SERVICE_EXEMPT',
      '127.0.0.1 and ::1',
      'The addresses whose requests to the executor are not counted.',
    ),
    default: ['127.0.0.1', '::1'],
  },
} as const;

/** Whether jobs may run on the host of the server. Otherwise their folders are those of another. */
export const jobsRunHere = ({
  executor,
  executorFallback,
}: {
  readonly executor: Static<typeof EXECUTOR_SETTINGS.executor>;
  readonly executorFallback: Static<typeof EXECUTOR_SETTINGS.executorFallback>;
}): boolean => executor === 'local' || executorFallback === 'local';
