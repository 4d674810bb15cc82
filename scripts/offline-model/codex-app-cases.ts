/**
 * Situations of `codex app-server`, as our own provider speaks with it: what the tests assert and
 * what the fixtures record.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Decision } from '../../src/protocol/approval.ts';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import { createCodexProvider } from '../../src/providers/codex/provider.ts';
import type { KnownCall } from '../../src/providers/control.ts';
import { DEADLINE_MS, type Person, type RanTurn, runAppServerTurn } from './codex-app-turn.ts';
import { codexOfflineArgs } from './codex-cases.ts';
import { resolvedPrompt } from './resolved-prompt.ts';
import { type CliHome, makeCliHome } from './run-cli.ts';
import { type OfflineModel, startOfflineModel } from './server.ts';

interface AppCase extends Person {
  readonly prompt: string;
  readonly request?: Partial<ResolvedPrompt>;
  /** A first turn, whose thread the recorded one continues or copies. */
  readonly after?: string;
  readonly fork?: boolean;
  readonly thread?: string;
  readonly retries?: number;
  readonly key?: string;
}

const shell = (cmd: string, more: object = {}): string =>
  `[[tool: exec_command ${JSON.stringify({ cmd, ...more })}]]`;
/** A call that codex asks a person for. */
const escalated = (cmd: string): string =>
  shell(cmd, { sandbox_permissions: 'require_escalated', justification: 'It writes a file.' });
const PATCH = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: new.txt\n+hi\n*** End Patch\nEOF";
const QUESTION = {
  id: 'db',
  header: 'DB',
  question: 'Which db?',
  options: [
    { label: 'SQLite', description: 'small' },
    { label: 'Postgres', description: 'large' },
  ],
};
const FULL = { permissionMode: 'fullAccess' } as const;
const ASK = { onPermissionDenied: 'ask' } as const;
const touch = (file: string) => ({ command: `touch ${file}` });
const allow = (input: unknown): Decision => ({ decision: 'allow', input, rules: [] });
const deny = (message: string): Decision => ({ decision: 'deny', message });

/** By the name of the fixture. */
export const CODEX_APP_CASES = {
  success: { prompt: '[[reply: The parser is in src/parse.ts.]] Where is the parser?' },
  'tool-use': {
    prompt: `Count. [[think: I should look.]] [[say: I will count them.]] ${shell('echo 3')} [[reply: There are 3 files.]]`,
    request: FULL,
  },
  'tool-failed': { prompt: `${shell('exit 7')} [[reply: It failed.]]`, request: FULL },
  resume: { after: 'My name is Ada. [[reply: Hello Ada.]]', prompt: 'Who am I? [[reply: You are Ada.]]' },
  fork: {
    after: 'My name is Ada. [[reply: Hello Ada.]]',
    prompt: 'Who am I? [[reply: You are Ada.]]',
    fork: true,
  },
  'unknown-thread': { prompt: 'Hello', thread: '00000000-0000-7000-8000-00000000dead' },
  allowed: {
    prompt: `${escalated('touch made.txt')} [[reply: made]]`,
    request: ASK,
    asks: [allow(touch('made.txt'))],
  },
  denied: {
    prompt: `${escalated('touch made.txt')} [[reply: not made]]`,
    request: ASK,
    asks: [deny('not today')],
  },
  'edited-input': {
    prompt: `${escalated('touch made.txt')} [[reply: made]]`,
    request: ASK,
    asks: [allow(touch('other.txt'))],
  },
  parked: {
    prompt: `${escalated('touch made.txt')} [[reply: made]]`,
    request: ASK,
    asks: ['park'],
  },
  'file-change': { prompt: `${shell(PATCH)} [[reply: changed]]`, request: ASK, asks: [allow({})] },
  question: {
    prompt: `[[tool: request_user_input ${JSON.stringify({ questions: [QUESTION] })}]] [[reply: so be it]]`,
    request: ASK,
    asks: [allow({ answers: { 'Which db?': 'SQLite' } })],
  },
  interrupted: {
    prompt: 'Tell me. [[slow: 500 tokens 20ms]]',
    at: { text: '"item/agentMessage/delta"', does: 'interrupt' },
  },
  steered: {
    prompt: 'Tell me. [[slow: 500 tokens 20ms]]',
    at: { text: '"item/agentMessage/delta"', does: { steer: 'Use tabs [[reply: tabs]]' } },
  },
  'killed-while-asking': {
    prompt: `${escalated('touch made.txt')} [[reply: made]]`,
    request: ASK,
    asks: ['none'],
    at: { text: 'requestApproval', does: 'kill' },
  },
  'wrong-key': { prompt: 'Hello', key: 'wrong-key', retries: 1 },
  'rate-limit-429': { prompt: 'Hello [[error: 429]]', retries: 1 },
  'plan-limit': { prompt: 'Hello [[error: 429 limit=primary resets-in=3600]]', retries: 1 },
  'plan-use': { prompt: 'Hello [[used: 85% resets-in=3600]] [[reply: hi]]' },
  'server-500': { prompt: 'Hello [[error: 500]]', retries: 1 },
  'bad-request-400': { prompt: 'Hello [[error: 400]]' },
} as const satisfies Record<string, AppCase>;

export type CodexAppCaseName = keyof typeof CODEX_APP_CASES;

export interface RanCodexAppCase extends RanTurn {
  readonly requests: OfflineModel['requests'];
  readonly home: CliHome;
  readonly baseUrl: string;
}

const request = (changed: Partial<ResolvedPrompt>): ResolvedPrompt =>
  resolvedPrompt({
    prompt: 'Hello',
    provider: 'codex',
    model: 'offline-model',
    timeoutMs: DEADLINE_MS,
    idleTimeoutMs: DEADLINE_MS,
    ...changed,
  });

/** A model, a home, and turns in it. */
export interface AppServerLab extends AsyncDisposable {
  readonly model: OfflineModel;
  readonly home: CliHome;
  turn(options: AppCase & { readonly known?: readonly KnownCall[] }): Promise<RanTurn>;
}

export async function createAppServerLab(retries = 0): Promise<AppServerLab> {
  const model = await startOfflineModel();
  const home = await makeCliHome();
  const codexHome = join(home.home, '.codex');
  await mkdir(codexHome);
  const provider = createCodexProvider({
    args: [...codexOfflineArgs(model.url, retries)],
    modes: {},
    maxRetries: null,
    runningAsRoot: false,
    sandboxMarker: false,
    sdkRunner: { node: '', script: '' },
    transport: 'app-server',
  });
  return {
    model,
    home,
    turn: ({ prompt, request: changed = {}, thread, fork, key = 'offline', known, asks, at }) =>
      runAppServerTurn({
        provider,
        request: request({ prompt, cwd: home.workspace, ...changed }),
        env: { PATH: process.env['PATH'], HOME: home.home, CODEX_HOME: codexHome, CODEX_API_KEY: key },
        thread: thread ?? null,
        fork: fork === true,
        ...(known === undefined ? {} : { known }),
        person: { ...(asks === undefined ? {} : { asks }), ...(at === undefined ? {} : { at }) },
      }),
    async [Symbol.asyncDispose]() {
      await model.stop();
      await home[Symbol.asyncDispose]();
    },
  };
}

/** Runs a case with a model and a home of its own; both are gone when it resolves. */
export async function runCodexAppCase(name: CodexAppCaseName): Promise<RanCodexAppCase> {
  const one: AppCase = CODEX_APP_CASES[name];
  await using lab = await createAppServerLab(one.retries);
  const first = one.after === undefined ? null : await lab.turn({ prompt: one.after });
  const thread = first === null ? one.thread : threadOf(first);
  const ran = await lab.turn({ ...one, ...(thread === undefined ? {} : { thread }) });
  return { ...ran, requests: [...lab.model.requests], home: lab.home, baseUrl: lab.model.url };
}

/** The thread that a turn was in. */
export function threadOf({ run }: RanTurn): string {
  const id = /"thread":\{"id":"([^"]+)"/.exec(run.lines.join('\n'))?.[1];
  if (id === undefined) throw new Error(`No thread in the output: ${run.stderr}`);
  return id;
}
