/** The Dockerfile and the compose file, read as an engine reads them. There is no engine here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

/** The instructions, without comments, one a line. */
function readDockerfile(): readonly Instruction[] {
  return read('Dockerfile')
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line.trim()) ?? [];
      return { name, rest };
    });
}

const instructions = readDockerfile();

/** What follows each instruction of that name, of all stages. */
export const all = (name: string): readonly string[] =>
  instructions.filter((line) => line.name === name).map((line) => line.rest);

/** The instructions of each stage, by its name, in their order. */
export const stages: ReadonlyMap<string, readonly Instruction[]> = (() => {
  const found = new Map<string, Instruction[]>();
  for (const line of instructions) {
    if (line.name === 'FROM') found.set(line.rest.split(/\s+AS\s+/i)[1] ?? '', []);
    [...found.values()].at(-1)?.push(line);
  }
  return found;
})();

/** What an image of this stage has, with what it takes over from the stage it begins from. */
export function ofStage(stage: string, name: string): readonly string[] {
  const lines = stages.get(stage) ?? [];
  const base = lines[0]?.rest.split(/\s+/)[0] ?? '';
  const own = lines.filter((line) => line.name === name).map((line) => line.rest);
  return [...(stages.has(base) ? ofStage(base, name) : []), ...own];
}

export const lastOf = (stage: string, name: string): string => ofStage(stage, name).at(-1) ?? '';

/** The variables of an image of this stage. */
export const environmentOfImage = (stage: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    ofStage(stage, 'ENV').flatMap((line) =>
      line
        .trim()
        .split(/\s+/)
        .map((pair) => pair.split(/=(.*)/s, 2) as [string, string]),
    ),
  );

/** The command of the last HEALTHCHECK of this stage. */
export const healthCheckOf = (stage: string): readonly string[] =>
  JSON.parse(/CMD (\[.*\])$/.exec(lastOf(stage, 'HEALTHCHECK'))?.[1] ?? '[]');

type Shell = Readonly<Record<string, string>>;

/** The parts of a service that these tests read. */
export interface Service {
  readonly image: string;
  readonly profiles?: readonly string[];
  readonly build: { readonly context: string; readonly target: string };
  readonly command: readonly string[];
  readonly user?: string;
  readonly environment: Readonly<Record<string, unknown>>;
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
  readonly ports?: readonly string[];
  readonly secrets?: readonly string[];
  readonly depends_on: Readonly<Record<string, unknown>>;
  readonly healthcheck: { readonly test: readonly string[] };
  readonly deploy: {
    readonly resources: Readonly<Record<'limits' | 'reservations', { readonly memory: string }>>;
  };
  readonly init?: boolean;
  readonly privileged?: boolean;
  readonly stop_grace_period: string;
}

export interface Compose {
  readonly services: Readonly<Record<'redis' | 'bullpen' | 'executor', Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly secrets: { readonly executor: { readonly file: string } };
}

export const readCompose = (): Compose => parse(read('docker-compose.yml'));

/** A text of the compose file with the variables of the shell in their places. */
export const filled = (value: string, shell: Shell): string =>
  value
    .replace(/\$\{(\w+):([-+])([^}]*)\}/g, (_, name: string, sign: string, word: string) => {
      const set = shell[name] ?? '';
      if (sign === '-') return set === '' ? word : set;
      return set === '' ? '' : word;
    })
    .replaceAll('$$', '$');

/** The environment of a service; a name without a value is that of the shell. */
export const environmentOf = (
  service: Pick<Service, 'environment'>,
  shell: Shell,
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(service.environment).flatMap(([name, value]) => {
      const text = value === null ? shell[name] : filled(String(value), shell);
      return text === undefined ? [] : [[name, text]];
    }),
  );
