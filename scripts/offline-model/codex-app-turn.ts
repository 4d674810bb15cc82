/** One turn of `codex app-server`, as our own provider speaks with it. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Decision } from '../../src/protocol/approval.ts';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import type { Ask, KnownCall } from '../../src/providers/control.ts';
import type { Provider } from '../../src/providers/provider.ts';
import type { CliRun } from './run-cli.ts';

const CODEX = fileURLToPath(new URL('../../tests/clis/node_modules/.bin/codex', import.meta.url));
export const DEADLINE_MS = 50_000;
const PROMPT_ID = '00000000-0000-4000-8000-00000000aaaa';
export const MESSAGE_ID = '00000000-0000-4000-8000-00000000bbbb';

/** What a person does in a case. */
export interface Person {
  /** Answers to the asks, in their order. */
  readonly asks?: readonly (Decision | 'park' | 'none')[];
  /** At the first line with this text: interrupts, sends a message, or kills the process. */
  readonly at?: {
    readonly text: string;
    readonly does: 'interrupt' | 'kill' | { readonly steer: string };
  };
}

/** A turn that has ended, and what was said in it. */
export interface RanTurn {
  readonly run: CliRun;
  readonly asks: readonly Ask[];
  readonly withdrawn: readonly string[];
  readonly taken: readonly string[];
  /** Everything that was written to the CLI. */
  readonly said: string;
}

export interface TurnOptions {
  readonly provider: Provider;
  readonly request: ResolvedPrompt;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly thread?: string | null;
  readonly fork?: boolean;
  /** Left out: yes. */
  readonly trustedWorkspace?: boolean;
  readonly known?: readonly KnownCall[];
  readonly person: Person;
}

/** Runs one turn in a process of its own. One that outlives 50 s is killed, and rejects. */
export async function runAppServerTurn(options: TurnOptions): Promise<RanTurn> {
  const { provider, person, env } = options;
  const command = provider.command(options.request, {
    nativeSessionId: options.thread ?? null,
    fork: options.fork === true,
    trustedWorkspace: options.trustedWorkspace ?? true,
    scratchDir: '/scratch',
    promptId: PROMPT_ID,
  });
  const translator = provider.translator(options.request);
  const control = provider.control?.(options.request, {
    promptId: PROMPT_ID,
    known: options.known ?? [],
  });
  if (control === undefined) throw new Error('the provider cannot be spoken with');
  const child = spawn(CODEX, [...command.args], {
    cwd: options.request.cwd,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...env, ...command.env },
  });
  const exited = Promise.withResolvers<Pick<CliRun, 'code' | 'signal'>>();
  child.once('error', exited.reject);
  child.once('close', (code, signal) => exited.resolve({ code, signal }));
  child.stdin.on('error', () => {}); // a killed CLI reads nothing more
  const kill = (): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, 'SIGKILL');
  };
  const lines: string[] = [];
  const stderr: string[] = [];
  const said: string[] = [];
  const asks: Ask[] = [];
  const withdrawn: string[] = [];
  const taken: string[] = [];
  const write = (text: string): void => {
    said.push(text);
    if (text !== '') child.stdin.write(text);
  };
  const deadline = setTimeout(() => {
    exited.reject(new Error(`codex did not end; it had said:\n${[...lines, ...stderr].join('\n')}`));
    kill();
  }, DEADLINE_MS);
  let isDue = person.at !== undefined;
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => stderr.push(chunk));
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    const step = control.line(line);
    translator.line(line);
    write(step.write);
    withdrawn.push(...step.withdrawn);
    taken.push(...step.taken);
    for (const ask of step.asks) {
      const answer = person.asks?.[asks.length] ?? 'none';
      asks.push(ask);
      if (answer === 'park') write(control.park(ask.callId, `approval-${asks.length}`).write);
      else if (answer !== 'none') write(control.decide(ask.callId, answer));
    }
    if (isDue && person.at !== undefined && line.includes(person.at.text)) {
      isDue = false;
      const { does } = person.at;
      if (does === 'kill') kill();
      else if (does === 'interrupt') write(control.interrupt() ?? '');
      else write(control.steer({ id: MESSAGE_ID, text: does.steer }) ?? '');
    }
    if (translator.done || step.problem !== null) child.stdin.end();
  });
  write((command.opening ?? '') + command.stdin);
  try {
    const end = await exited.promise;
    const run = { ...end, lines, stderr: stderr.join('') };
    return { run, asks, withdrawn, taken, said: said.join('') };
  } finally {
    clearTimeout(deadline);
  }
}
