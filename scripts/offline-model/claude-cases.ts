import { type ClaudeHome, type ClaudeRun, makeClaudeHome, runClaude } from './run-claude.ts';
import { type OfflineModel, startOfflineModel } from './server.ts';

/** A situation of the claude CLI's headless contract: what the tests assert and what the fixtures record. */
interface ClaudeCase {
  readonly prompt: string;
  readonly args?: readonly string[];
  /** A first prompt, whose session the recorded run resumes. */
  readonly resumes?: string;
  readonly retries?: number;
  readonly terminateAt?: string;
}

const STRUCTURE = {
  type: 'object',
  properties: { answer: { type: 'string' }, count: { type: 'integer' } },
  required: ['answer', 'count'],
};

const bash = (command: string): string =>
  `[[tool: Bash ${JSON.stringify({ command, description: 'Run a command' })}]]`;

/** By the name of the fixture. */
export const CLAUDE_CASES = {
  success: { prompt: '[[reply: The parser is in src/parse.ts.]] Where is the parser?' },
  'tool-use': {
    prompt: `Count the files. [[think: I should look.]] [[say: I will count them.]] ${bash('echo 3')} [[reply: There are 3 files.]]`,
    args: ['--allowedTools', 'Bash'],
  },
  'auth-401': { prompt: 'Hello [[error: 401]]', retries: 1 },
  'rate-limit-429-retry': {
    prompt: 'Hello [[error: 429 retry-after=1 times=1]] [[reply: Here I am.]]',
    retries: 2,
  },
  'overloaded-529': { prompt: 'Hello [[error: 529]]', retries: 1 },
  'server-500': { prompt: 'Hello [[error: 500]]', retries: 1 },
  'max-turns': {
    prompt: `${bash('echo one')} ${bash('echo two')}`,
    args: ['--allowedTools', 'Bash', '--max-turns', '1'],
  },
  resume: { resumes: 'My name is Ada. [[reply: Hello Ada.]]', prompt: 'Who am I? [[reply: You are Ada.]]' },
  'unknown-session': { prompt: 'Hello', args: ['--resume=00000000-0000-4000-8000-00000000dead'] },
  'sigterm-hang': { prompt: 'Hello [[hang]]', terminateAt: '"message_start"' },
  'permission-denied': { prompt: `${bash('touch made.txt')} [[reply: I may not make the file.]]` },
  'structured-output': {
    prompt: `Answer. [[tool: StructuredOutput {"answer":"yes","count":2}]]`,
    args: ['--json-schema', JSON.stringify(STRUCTURE)],
  },
} as const satisfies Record<string, ClaudeCase>;

/** The name of a case. */
export type ClaudeCaseName = keyof typeof CLAUDE_CASES;

/** A case that has run: the run, what the CLI asked the model, and the run whose session it resumed. */
export interface RanCase {
  readonly run: ClaudeRun;
  readonly first: ClaudeRun | null;
  readonly requests: OfflineModel['requests'];
  readonly home: ClaudeHome;
  readonly baseUrl: string;
}

/** Runs a case with a model and a home of its own; both are gone when it resolves. */
export async function runClaudeCase(name: ClaudeCaseName): Promise<RanCase> {
  const { prompt, args = [], resumes, retries, terminateAt }: ClaudeCase = CLAUDE_CASES[name];
  await using model = await startOfflineModel();
  await using home = await makeClaudeHome();
  const base = { baseUrl: model.url, home };
  const first = resumes === undefined ? null : await runClaude({ ...base, prompt: resumes });
  const run = await runClaude({
    ...base,
    prompt,
    args: first === null ? args : [...args, `--resume=${sessionIdOf(first)}`],
    ...(retries === undefined ? {} : { env: { CLAUDE_CODE_MAX_RETRIES: String(retries) } }),
    ...(terminateAt === undefined ? {} : { terminateAt }),
  });
  return { run, first, requests: [...model.requests], home, baseUrl: model.url };
}

function sessionIdOf(run: ClaudeRun): string {
  const id = /"session_id":"([^"]+)"/.exec(run.lines.join('\n'))?.[1];
  if (id === undefined) throw new Error(`No session in the output: ${run.stderr}`);
  return id;
}
