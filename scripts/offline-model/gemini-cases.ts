/**
 * Situations of the gemini CLI's headless contract: what the tests assert and what the fixtures
 * record.
 */
import type { CliHome, CliRun } from './run-cli.ts';
import { GEMINI_ARGS, makeGeminiHome, runGemini } from './run-gemini.ts';
import { type OfflineModel, startOfflineModel } from './server.ts';

interface GeminiCase {
  readonly prompt: string;
  readonly args?: readonly string[];
  /** A first prompt, whose session the recorded run resumes. */
  readonly resumes?: string;
  /** The session to resume, when it is none of ours. */
  readonly session?: string;
  /** More of the user's settings. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly endAt?: { readonly text: string; readonly signal: NodeJS.Signals };
}

const shell = (command: string): string => `[[tool: run_shell_command ${JSON.stringify({ command })}]]`;
const YOLO = '--approval-mode=yolo';

/** By the name of the fixture. */
export const GEMINI_CASES = {
  success: { prompt: '[[reply: The parser is in src/parse.ts.]] Where is the parser?' },
  'tool-use': {
    prompt: `Count. [[think: I should look.]] [[say: I will count them.]] ${shell('echo 3')} [[reply: There are 3 files.]]`,
    args: [YOLO],
  },
  'tool-failed': { prompt: `${shell('echo no; exit 7')} [[reply: It failed.]]`, args: [YOLO] },
  'tool-denied': { prompt: `${shell('touch made')} [[reply: I may not.]]` },
  resume: { resumes: 'My name is Ada. [[reply: Hello Ada.]]', prompt: 'Who am I? [[reply: You are Ada.]]' },
  'unknown-session': { prompt: 'Hello', session: '00000000-0000-4000-8000-00000000dead' },
  'wrong-key': { prompt: 'Hello', env: { GEMINI_API_KEY: 'wrong-key' } },
  'no-login': { prompt: 'Hello', env: { GEMINI_API_KEY: '' } },
  'unauthenticated-401': { prompt: 'Hello [[error: 401]]' },
  'rate-limit-429': { prompt: 'Hello [[error: 429 retry-after=437]]' },
  'server-500': { prompt: 'Hello [[error: 500]]' },
  'overloaded-503': { prompt: 'Hello [[error: 503]]' },
  'bad-request-400': { prompt: 'Hello [[error: 400]]' },
  'max-turns': {
    prompt: `${shell('echo 1')} ${shell('echo 2')} [[reply: over]]`,
    args: [YOLO],
    settings: { model: { maxSessionTurns: 1 } },
  },
  'bad-argument': { prompt: 'Hello', args: ['--no-such-flag'] },
  untrusted: { prompt: 'Hello', args: ['--skip-trust=false'] },
  'sigterm-hang': { prompt: 'Hello [[hang]]', endAt: { text: '"role":"user"', signal: 'SIGTERM' } },
  'sigkill-tool': {
    // The command outlives the CLI, which SIGKILL does not let end it; it looks for itself whether
    // that has gone.
    prompt: `${shell('while kill -0 $PPID 2>/dev/null; do sleep 0.1; done')} [[reply: over]]`,
    args: [YOLO],
    endAt: { text: '"tool_use"', signal: 'SIGKILL' },
  },
} as const satisfies Record<string, GeminiCase>;

/** The name of a case. */
export type GeminiCaseName = keyof typeof GEMINI_CASES;

/**
 * A case that has run: the run, what the CLI asked the model, and the run whose session it resumed.
 */
export interface RanGeminiCase {
  readonly run: CliRun;
  readonly first: CliRun | null;
  readonly requests: OfflineModel['requests'];
  readonly home: CliHome;
  readonly baseUrl: string;
}

/** Runs a case with a model and a home of its own; both are gone when it resolves. */
export async function runGeminiCase(name: GeminiCaseName): Promise<RanGeminiCase> {
  const { prompt, args = [], resumes, session, settings, env = {}, endAt }: GeminiCase = GEMINI_CASES[name];
  await using model = await startOfflineModel();
  await using home = await makeGeminiHome(settings);
  const run = (text: string, own: readonly string[], end: GeminiCase['endAt']) =>
    runGemini({
      baseUrl: model.url,
      home,
      prompt: text,
      args: [...GEMINI_ARGS, '--model=gemini-2.5-flash', ...own],
      env,
      ...(end === undefined ? {} : { endAt: end }),
    });
  const first = resumes === undefined ? null : await run(resumes, [], undefined);
  const resumed = first === null ? session : sessionOf(first);
  const last = await run(prompt, [...args, ...(resumed === undefined ? [] : [`--resume=${resumed}`])], endAt);
  return { run: last, first, requests: [...model.requests], home, baseUrl: model.url };
}

function sessionOf(run: CliRun): string {
  const id = /"session_id":"([^"]+)"/.exec(run.lines.join('\n'))?.[1];
  if (id === undefined) throw new Error(`No session in the output: ${run.stderr}`);
  return id;
}
