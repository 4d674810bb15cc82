/**
 * A scripted CLI that speaks claude's stream-json, for tests of everything above it.
 *
 * It reads the prompt from stdin, obeys a directive `{"fake": [step, …]}` at the end of it (see `Step`), and
 * else answers `fake: <prompt>`. From the environment: FAKE_JOURNAL (file for what happened), FAKE_STEPS (steps
 * to run before stdin is read), FAKE_CLOSE_STDIN=1 (closes stdin unread), FAKE_IGNORE_STDIN=1 (never reads it),
 * FAKE_VERSION. What must be known before the prompt is, a job can also say with its model: see `Mode`.
 */
import { randomUUID } from 'node:crypto';
import { closeSync } from 'node:fs';
import { record } from './fake-cli-journal.ts';
import { runStep, type Stage, type Step } from './fake-cli-steps.ts';
import { createVoice, type Write } from './fake-cli-voice.ts';

// Set by the wrapper to start faster; not meant for what we start.
delete process.env['NODE_COMPILE_CACHE'];

const { pid, env } = process;
const argv = process.argv.slice(2);
const DIRECTIVE = '{"fake":';

/** `--model fake:<mode>`: for jobs that ask for something before, or without, their prompt being read. */
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

async function readStdin(): Promise<string> {
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

async function main(): Promise<void> {
  const resume = option('--resume');
  const sessionId = resume ?? option('--session-id') ?? randomUUID();
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
  const stage: Stage = {
    voice: createVoice(stdout, sessionId),
    stdout,
    stderr: writer(process.stderr),
    ignored,
    resultCode: null,
  };
  for (const step of JSON.parse(env['FAKE_STEPS'] ?? '[]')) await runStep(step, stage);

  const closes = Boolean(env['FAKE_CLOSE_STDIN']) || has('closesStdin');
  if (closes) closeSync(0);
  if (has('ignoresStdin')) await runStep({ hang: true }, stage);
  const prompt = closes || env['FAKE_IGNORE_STDIN'] ? '' : await readStdin();
  record({ event: 'prompt', pid, bytes: Buffer.byteLength(prompt), at: Date.now() });

  const { text, steps } = parsePrompt(prompt);
  if (has('byteOrderMark')) await stdout('\u{feff}');
  if (!has('silent')) await stage.voice.init();
  for (const step of steps) await runStep(step, stage);
  if (stage.resultCode === null && has('silent')) process.exit(0);
  if (stage.resultCode === null) {
    if (!steps.some((step) => 'delta' in step || 'deltas' in step)) await stage.voice.delta(`fake: ${text}`);
    stage.resultCode = (await stage.voice.result({})) ? 1 : 0;
  }
  process.exit(stage.resultCode);
}

if (argv.includes('--version')) console.log(`${env['FAKE_VERSION'] ?? '9.9.9'} (Fake CLI)`);
else await main();
