/** The commands that do what the page does. */
import type { Job } from '../../../protocol/job.ts';

/** Characters that a terminal obeys, or that turn the direction of what follows. */
const UNSEEN = /[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const codeOf = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** A word that a shell reads as `text`. What a terminal would obey is written as its number. */
export function quoted(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (text.search(UNSEEN) === -1) return `'${text.replaceAll("'", `'\\''`)}'`;
  // bash and zsh have this form; a plain POSIX shell has no other one than the bytes themselves.
  return `$'${text.replace(/[\\']/g, (one) => `\\${one}`).replace(UNSEEN, codeOf)}'`;
}

export interface How {
  readonly title: string;
  readonly curl: string;
  /** Null: the command line has no such command. */
  readonly bullpen: string | null;
}

/** @param url the address of the server */
export function commandsOf(job: Job, url: string): readonly How[] {
  const path = `${url}/v1/jobs/${job.id}`;
  const get = (title: string, rest: string, bullpen: string): How => ({
    title,
    curl: curl([`${path}${rest}`]),
    bullpen: `bullpen ${bullpen}`,
  });
  const post = (title: string, to: string, body: object, bullpen: string | null): How => ({
    title,
    curl: curl(['-X', 'POST', to], body),
    bullpen,
  });
  const again = post(
    'Make one with the same prompt, provider, folder, tools and tags',
    `${url}/v1/jobs`,
    requestOf(job),
    runCommand(job),
  );
  const reading = [
    get('Read the job', '', `show ${job.id}`),
    get('Read its executions', '/executions', `show ${job.id} --executions`),
    { ...get('Follow its events', '/events', `watch ${job.id}`), curl: curl(['-N', `${path}/events`]) },
    { ...get('Read its raw log', '', ''), curl: curl(['-N', `${path}/events?raw=true`]), bullpen: null },
  ];
  const acting = job.finished
    ? [
        post(
          'Make the same one again, with every option',
          `${path}/retry`,
          { from: 'start' },
          `bullpen retry ${job.id} --from start`,
        ),
        ...(job.nativeSessionId === null
          ? []
          : [
              post(
                'Continue its session',
                `${path}/retry`,
                { from: 'session' },
                `bullpen retry ${job.id} --from session`,
              ),
            ]),
      ]
    : [
        post('Cancel it', `${path}/cancel`, {}, `bullpen cancel ${job.id}`),
        post('Send a message', `${path}/messages`, { prompt: 'And now a test' }, null),
      ];
  return [again, ...reading, ...acting];
}

/** A request with curl; a body is sent as JSON. */
export function curl(args: readonly string[], body?: object): string {
  const lines = [
    `curl ${args.map(quoted).join(' ')}`,
    `  -H "Authorization: Bearer $BULLPEN_TOKEN"`,
    ...(body === undefined
      ? []
      : [
          `  -H 'Content-Type: application/json'`,
          `  -d ${quoted(JSON.stringify(body).replace(UNSEEN, codeOf))}`,
        ]),
  ];
  return lines.join(' \\\n');
}

/** The fields of the request that a job shows, without those that nothing was asked for. */
function requestOf(job: Job): object {
  const { prompt, provider, model, cwd, permissionMode, allowedTools, priority, tags, metadata } = job;
  return {
    ...{ prompt, provider },
    ...(model === null ? {} : { model }),
    cwd,
    ...(permissionMode === 'default' ? {} : { permissionMode }),
    ...(allowedTools.length === 0 ? {} : { allowedTools }),
    ...(priority === 0 ? {} : { priority }),
    ...(tags.length === 0 ? {} : { tags }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
  };
}

function runCommand(job: Job): string {
  const options: readonly (readonly [string, string | null])[] = [
    ['provider', job.provider],
    ['model', job.model],
    ['cwd', job.cwd],
    ['permission-mode', job.permissionMode === 'default' ? null : job.permissionMode],
    ['allowed-tools', job.allowedTools.length === 0 ? null : job.allowedTools.join(',')],
    ['priority', job.priority === 0 ? null : String(job.priority)],
    ...job.tags.map((tag) => ['tag', tag] as const),
    ...Object.entries(job.metadata).map(([key, value]) => ['metadata', `${key}=${value}`] as const),
  ];
  const words = options.flatMap(([name, value]) => (value === null ? [] : [quoted(`--${name}=${value}`)]));
  // `--`: a prompt may begin with a hyphen.
  return ['bullpen run', ...words, '--', quoted(job.prompt)].join(' ');
}
