/**
 * Situations of the codex CLI's headless contract: what the tests assert and what the fixtures
 * record.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CliHome, type CliRun, makeCliHome, runCli } from './run-cli.ts';
import { type OfflineModel, startOfflineModel } from './server.ts';

const CODEX = fileURLToPath(new URL('../../tests/clis/node_modules/.bin/codex', import.meta.url));

interface CodexCase {
  readonly prompt: string;
  readonly args?: readonly string[];
  /** A first prompt, whose thread the recorded run resumes. */
  readonly resumes?: string;
  /** The thread to resume, when it is none of ours. */
  readonly thread?: string;
  readonly retries?: number;
  readonly key?: string;
  readonly endAt?: { readonly text: string; readonly signal: NodeJS.Signals };
}

const shell = (cmd: string): string => `[[tool: exec_command ${JSON.stringify({ cmd })}]]`;
const BYPASS = '--dangerously-bypass-approvals-and-sandbox';

/** By the name of the fixture. */
export const CODEX_CASES = {
  success: { prompt: '[[reply: The parser is in src/parse.ts.]] Where is the parser?' },
  'tool-use': {
    prompt: `Count. [[think: I should look.]] [[say: I will count them.]] ${shell('echo 3')} [[reply: There are 3 files.]]`,
    args: [BYPASS],
  },
  'tool-failed': { prompt: `${shell('exit 7')} [[reply: It failed.]]`, args: [BYPASS] },
  resume: { resumes: 'My name is Ada. [[reply: Hello Ada.]]', prompt: 'Who am I? [[reply: You are Ada.]]' },
  'unknown-session': { prompt: 'Hello', thread: '00000000-0000-7000-8000-00000000dead' },
  'wrong-key': { prompt: 'Hello', key: 'wrong-key', retries: 1 },
  'rate-limit-429': { prompt: 'Hello [[error: 429]]', retries: 1 },
  'plan-limit': { prompt: 'Hello [[error: 429 limit=primary resets-in=3600]]', retries: 1 },
  'server-500': { prompt: 'Hello [[error: 500]]', retries: 1 },
  'bad-request-400': { prompt: 'Hello [[error: 400]]', retries: 1 },
  'bad-argument': { prompt: 'Hello', args: ['--no-such-flag'] },
  'sigterm-hang': { prompt: 'Hello [[hang]]', endAt: { text: 'turn.started', signal: 'SIGTERM' } },
  'sigkill-tool': {
    prompt: `${shell('sleep 30')} [[reply: over]]`,
    args: [BYPASS],
    endAt: { text: '"item.started"', signal: 'SIGKILL' },
  },
} as const satisfies Record<string, CodexCase>;

/** The name of a case. */
export type CodexCaseName = keyof typeof CODEX_CASES;

/**
 * A case that has run: the run, what the CLI asked the model, and the run whose thread it resumed.
 */
export interface RanCodexCase {
  readonly run: CliRun;
  readonly first: CliRun | null;
  readonly requests: OfflineModel['requests'];
  readonly home: CliHome;
  readonly baseUrl: string;
}

/**
 * What makes codex speak to the offline model: a vendor of its own, because for the built-in one it
 * tries WebSockets five times before it falls back to HTTP. A model it does not know has the plain
 * shell tool.
 */
export const codexOfflineArgs = (baseUrl: string, retries = 0): readonly string[] => [
  '--config=model_provider="offline"',
  `--config=model_providers.offline={name="offline",base_url="${baseUrl}/v1",wire_api="responses",env_key="CODEX_API_KEY",request_max_retries=${retries},stream_max_retries=${retries}}`,
];

/** Runs a case with a model and a home of its own; both are gone when it resolves. */
export async function runCodexCase(name: CodexCaseName): Promise<RanCodexCase> {
  const { prompt, args = [], resumes, thread, retries, key, endAt }: CodexCase = CODEX_CASES[name];
  await using model = await startOfflineModel();
  await using home = await makeCliHome();
  const codexHome = join(home.home, '.codex');
  await mkdir(codexHome);
  const run = (text: string, own: readonly string[], resumed: string | null, end: CodexCase['endAt']) =>
    runCli({
      binary: CODEX,
      args: [
        'exec',
        '--json',
        '--skip-git-repo-check',
        '--model=offline-model',
        ...codexOfflineArgs(model.url, retries),
        ...own,
        ...(resumed === null ? [] : ['resume', resumed]),
        '-',
      ],
      env: {
        PATH: process.env['PATH'],
        HOME: home.home,
        CODEX_HOME: codexHome,
        CODEX_API_KEY: key ?? 'offline',
      },
      cwd: home.workspace,
      prompt: text,
      ...(end === undefined ? {} : { endAt: end }),
    });
  const first = resumes === undefined ? null : await run(resumes, [], null, undefined);
  const resumed = first === null ? (thread ?? null) : threadOf(first);
  const last = await run(prompt, args, resumed, endAt);
  return { run: last, first, requests: [...model.requests], home, baseUrl: model.url };
}

function threadOf(run: CliRun): string {
  const id = /"thread_id":"([^"]+)"/.exec(run.lines.join('\n'))?.[1];
  if (id === undefined) throw new Error(`No thread in the output: ${run.stderr}`);
  return id;
}
