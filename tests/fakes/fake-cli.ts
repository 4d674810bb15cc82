/**
 * A scripted CLI that speaks claude's stream-json, for tests of everything above it.
 *
 * It reads prompts from stdin, one message a line (or all of it as one prompt, without
 * `--input-format`), obeys a directive `{"fake": [step, …]}` at the end of each (see `Step`), and
 * else answers `fake: <prompt>`. It leaves when stdin has ended, with the code of its last answer.
 * From the environment: FAKE_JOURNAL (file for what happened), FAKE_STEPS (steps to run before
 * stdin is read), FAKE_CLOSE_STDIN=1 (closes stdin unread), FAKE_IGNORE_STDIN=1 (never reads it),
 * FAKE_VERSION. What must be known before the prompt is, a job can also say with its model: see
 * `Mode`.
 */
import { randomUUID } from 'node:crypto';
import { closeSync } from 'node:fs';
import { createTalk, type DeferredCall } from './fake-cli-control.ts';
import { record } from './fake-cli-journal.ts';
import { Deferred, giveResult, runStep, type Stage, type Step } from './fake-cli-steps.ts';
import { createVoice, type Write } from './fake-cli-voice.ts';

// Set by the wrapper to start faster; not meant for what we start.
delete process.env['NODE_COMPILE_CACHE'];

const { pid, env } = process;
const argv = process.argv.slice(2);
const DIRECTIVE = '{"fake":';

/**
 * `--model fake:<mode>`: for jobs that ask for something before, or without, their prompt being
 * read.
 */
const MODES = {
  /** Closes stdin unread, and answers. */
  closesStdin: 'fake:closes-stdin',
  /** Never reads stdin, and hangs. */
  ignoresStdin: 'fake:ignores-stdin',
  /** Says nothing by itself: only its steps speak. */
  silent: 'fake:silent',
  /** Begins its output with a byte order mark. */
  byteOrderMark: 'fake:byte-order-mark',
} as const;
type Mode = keyof typeof MODES;
/** What a shell reports for a process that ended by the signal. */
const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

const option = (name: string): string | null => {
  const at = argv.findIndex((arg) => arg === name || arg.startsWith(`${name}=`));
  const arg = argv[at];
  if (arg === undefined) return null;
  return arg === name ? (argv[at + 1] ?? null) : arg.slice(name.length + 1);
};

const has = (mode: Mode): boolean => option('--model') === MODES[mode];

const writer =
  (stream: NodeJS.WriteStream): Write =>
  (bytes) =>
    new Promise((resolve) => stream.write(bytes, () => resolve()));

/** All of stdin. */
async function readText(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function parsePrompt(prompt: string): { text: string; steps: readonly Step[] } {
  const at = prompt.indexOf(DIRECTIVE);
  if (at === -1) return { text: prompt.trim(), steps: [] };
  const directive = JSON.parse(prompt.slice(at, prompt.lastIndexOf('}') + 1));
  return { text: prompt.slice(0, at).trim(), steps: directive.fake };
}

/** A resumed session: the call that waited, then the rest of its turn. */
const goOn = (call: DeferredCall): { text: string; steps: readonly Step[] } => ({
  text: 'resumed',
  // as: written by this CLI
  steps: [{ resumed: call }, ...(call.rest as readonly Step[])],
});

const ABORTED = { subtype: 'error_during_execution', is_error: true, terminal_reason: 'aborted_streaming' };
const DEFERRED = { stop_reason: 'tool_deferred', terminal_reason: 'tool_deferred', result: '' };

async function main(): Promise<void> {
  const resume = option('--resume');
  const forks = argv.includes('--fork-session');
  const sessionId = (forks ? null : resume) ?? option('--session-id') ?? randomUUID();
  const ignored = new Set<string>();
  process.on('exit', (code) => record({ event: 'end', pid, code, at: Date.now() }));
  for (const [signal, code] of Object.entries(SIGNAL_CODES)) {
    process.on(signal, () => {
      record({ event: 'signal', pid, signal, at: Date.now() });
      if (!ignored.has(signal)) process.exit(code);
    });
  }
  record({
    event: 'start',
    pid,
    ppid: process.ppid,
    marker: env['BULLPEN_EXECUTION_ID'] ?? null,
    argv,
    cwd: process.cwd(),
    envNames: Object.keys(env).sort(),
    resume,
    sessionId,
    at: Date.now(),
  });

  const stdout = writer(process.stdout);
  const voice = createVoice(stdout, sessionId);
  const talk = createTalk({
    stdout,
    sessionId,
    resumes: resume !== null,
    allowedTools: argv.flatMap((arg) => /^--allowedTools=(\w+)/.exec(arg)?.[1] ?? []),
    asksHost: argv.includes('--permission-prompt-tool=stdio'),
    answers: !has('silent'),
  });
  const stage: Stage = {
    voice,
    talk,
    stdout,
    stderr: writer(process.stderr),
    ignored,
    resultCode: null,
  };
  if (has('byteOrderMark')) await stdout('\u{feff}');
  for (const step of JSON.parse(env['FAKE_STEPS'] ?? '[]')) await runStep(step, stage);

  const closes = Boolean(env['FAKE_CLOSE_STDIN']) || has('closesStdin');
  if (closes) closeSync(0);
  if (has('ignoresStdin')) await runStep({ hang: true }, stage);
  /** Does steps, up to an interrupt or a call that waits in the session. */
  const perform = async (steps: readonly Step[], interrupted: Promise<'interrupted'>): Promise<void> => {
    for (const [at, step] of steps.entries()) {
      try {
        const done = runStep(step, stage);
        done.catch(() => undefined);
        const how = await Promise.race([done, interrupted]);
        if (how === 'interrupted') {
          await giveResult(ABORTED, stage);
          return;
        }
      } catch (error) {
        if (!(error instanceof Deferred)) throw error;
        talk.defer({ ...error.call, rest: steps.slice(at + 1) });
        await giveResult({ ...DEFERRED, deferred_tool_use: error.call }, stage);
        return;
      }
    }
  };
  const answer = async (prompt: string | DeferredCall): Promise<void> => {
    const interrupted = talk.interrupted().then(() => 'interrupted' as const);
    stage.resultCode = null;
    const { text, steps } = typeof prompt === 'string' ? parsePrompt(prompt) : goOn(prompt);
    if (typeof prompt === 'string') {
      const firstLine = prompt.split('\n', 1).join('').slice(0, 200);
      record({ event: 'prompt', pid, bytes: Buffer.byteLength(prompt), firstLine, at: Date.now() });
    }
    if (!has('silent')) await voice.init();
    await perform(steps, interrupted);
    if (stage.resultCode !== null) return;
    if (has('silent')) process.exit(0);
    if (!steps.some((step) => 'delta' in step || 'deltas' in step)) await voice.delta(`fake: ${text}`);
    await giveResult({}, stage);
  };
  if (closes || env['FAKE_IGNORE_STDIN']) await answer('');
  else if (option('--input-format') !== 'stream-json') await answer(await readText());
  else {
    for await (const turn of talk.turns()) await answer('uuid' in turn ? turn.text : turn);
  }
  process.exit(stage.resultCode ?? 0);
}

if (argv.includes('--version')) console.log(`${env['FAKE_VERSION'] ?? '9.9.9'} (Fake CLI)`);
else await main();
