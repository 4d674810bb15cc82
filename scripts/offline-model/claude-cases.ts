import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClaudeHome, type ClaudeRun, makeClaudeHome, runClaude } from './run-claude.ts';
import { type OfflineModel, startOfflineModel } from './server.ts';

/**
 * A situation of the claude CLI's headless contract: what the tests assert and what the fixtures
 * record.
 */
interface ClaudeCase {
  readonly prompt: string;
  readonly args?: readonly string[];
  /** A first prompt, whose session the recorded run resumes. */
  readonly resumes?: string;
  /** Where that run is terminated. */
  readonly resumesAfter?: string;
  readonly retries?: number;
  /** Runs with the token of a plan instead of an API key. */
  readonly plan?: true;
  readonly terminateAt?: string;
  /** Sends the prompt as a message with an id, so that the CLI reports what happens to it. */
  readonly asMessage?: true;
  /** Commands of the user's own hooks, by event. */
  readonly hooks?: Readonly<Record<string, string>>;
}

const PROMPT_ID = '6f1f2d4e-3f0b-4c58-9d0e-0c1f6a7b8c9d';

const STRUCTURE = {
  type: 'object',
  properties: { answer: { type: 'string' }, count: { type: 'integer' } },
  required: ['answer', 'count'],
};

const bash = (command: string, more: Readonly<Record<string, unknown>> = {}): string =>
  `[[tool: Bash ${JSON.stringify({ command, description: 'Run a command', ...more })}]]`;
const inBackground = (command: string): string => bash(command, { run_in_background: true });
const hookAnswer = (answer: unknown): string => `echo '${JSON.stringify(answer)}'`;

/** By the name of the fixture. */
export const CLAUDE_CASES = {
  success: { prompt: '[[reply: The parser is in src/parse.ts.]] Where is the parser?' },
  'tool-use': {
    prompt: `Count the files. [[think: I should look.]] [[say: I will count them.]] ${bash('echo 3')} [[reply: There are 3 files.]]`,
    args: ['--allowedTools', 'Bash'],
  },
  'auth-401': { prompt: 'Hello [[error: 401]]', retries: 1 },
  'plan-limit': { prompt: 'Hello [[error: 429 limit=five_hour resets-in=3600]]', plan: true },
  'plan-limit-opus': { prompt: 'Hello [[error: 429 limit=seven_day_opus resets-in=3600]]', plan: true },
  'rate-limit-429': { prompt: 'Hello [[error: 429 retry-after=1]]', retries: 1 },
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
  'resume-dead-task': {
    resumes: `${inBackground('tail -f /dev/null')} [[hang]]`,
    resumesAfter: 'Command running in background',
    prompt: 'And now? [[reply: Now it is well.]]',
    args: ['--allowedTools', 'Bash'],
    asMessage: true,
  },
  'background-remark': {
    prompt: `${inBackground('sleep 1')} [[reply: It is started.]] [[reply: It has ended.]]`,
    args: ['--allowedTools', 'Bash'],
    asMessage: true,
  },
  'background-remark-fails': {
    prompt: `${inBackground('sleep 1')} [[reply: It is started.]] [[error: 500]]`,
    args: ['--allowedTools', 'Bash'],
    retries: 1,
    asMessage: true,
  },
  'hook-blocked': {
    prompt: 'Hello [[reply: never]]',
    hooks: { UserPromptSubmit: 'echo not on fridays >&2; exit 2' },
    asMessage: true,
  },
  'hook-refused': {
    prompt: 'Hello [[reply: never]]',
    hooks: { UserPromptSubmit: hookAnswer({ continue: false, stopReason: 'not on fridays' }) },
    asMessage: true,
  },
  'hook-stopped': {
    prompt: `${bash('echo hi')} [[reply: never]]`,
    args: ['--allowedTools', 'Bash'],
    hooks: { PostToolUse: hookAnswer({ continue: false, stopReason: 'enough' }) },
    asMessage: true,
  },
  'tool-deferred': {
    prompt: `${bash('echo hi')} [[reply: never]]`,
    args: ['--allowedTools', 'Bash'],
    hooks: {
      PreToolUse: hookAnswer({
        hookSpecificOutput: { hookEventName: 'PreToolUse', permissionDecision: 'defer' },
      }),
    },
    asMessage: true,
  },
  'mcp-failed': {
    prompt: 'Hello [[reply: Hi.]]',
    args: [
      '--strict-mcp-config',
      '--mcp-config',
      JSON.stringify({ mcpServers: { broken: { command: '/nonexistent/server' } } }),
    ],
    asMessage: true,
  },
} as const satisfies Record<string, ClaudeCase>;

/** The name of a case. */
export type ClaudeCaseName = keyof typeof CLAUDE_CASES;

/**
 * A case that has run: the run, what the CLI asked the model, and the run whose session it resumed.
 */
export interface RanCase {
  readonly run: ClaudeRun;
  readonly first: ClaudeRun | null;
  readonly requests: OfflineModel['requests'];
  readonly home: ClaudeHome;
  readonly baseUrl: string;
}

/** Runs a case with a model and a home of its own; both are gone when it resolves. */
export async function runClaudeCase(name: ClaudeCaseName): Promise<RanCase> {
  const given: ClaudeCase = CLAUDE_CASES[name];
  const {
    prompt,
    args = [],
    resumes,
    resumesAfter,
    retries,
    plan,
    terminateAt,
    asMessage,
    hooks = {},
  } = given;
  await using model = await startOfflineModel();
  await using home = await makeClaudeHome();
  const base = { baseUrl: model.url, home };
  if (given.hooks !== undefined) {
    const commands = Object.entries(hooks).map(([event, command]) => [
      event,
      [{ hooks: [{ type: 'command', command }] }],
    ]);
    const settings = JSON.stringify({ hooks: Object.fromEntries(commands) });
    await writeFile(join(home.home, '.claude', 'settings.json'), settings);
  }
  const first =
    resumes === undefined
      ? null
      : await runClaude({
          ...base,
          prompt: resumes,
          args,
          ...(resumesAfter === undefined ? {} : { terminateAt: resumesAfter }),
        });
  const run = await runClaude({
    ...base,
    prompt,
    args: first === null ? args : [...args, `--resume=${sessionIdOf(first)}`],
    env: {
      ...(retries === undefined ? {} : { CLAUDE_CODE_MAX_RETRIES: String(retries) }),
      ...(plan === undefined ? {} : { ANTHROPIC_API_KEY: '', CLAUDE_CODE_OAUTH_TOKEN: 'offline' }),
    },
    ...(terminateAt === undefined ? {} : { terminateAt }),
    ...(asMessage === undefined ? {} : { promptId: PROMPT_ID }),
  });
  return { run, first, requests: [...model.requests], home, baseUrl: model.url };
}

function sessionIdOf(run: ClaudeRun): string {
  const id = /"session_id":"([^"]+)"/.exec(run.lines.join('\n'))?.[1];
  if (id === undefined) throw new Error(`No session in the output: ${run.stderr}`);
  return id;
}
