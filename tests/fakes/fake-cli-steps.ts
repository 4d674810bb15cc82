import { spawn, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty } from 'node:tty';
import type { DeferredCall, Talk } from './fake-cli-control.ts';
import { record } from './fake-cli-journal.ts';
import { type Taking, take } from './fake-cli-take.ts';
import type { Voice, Write } from './fake-cli-voice.ts';

/** How the `spawn` step starts its grandchild, which sleeps for a thousand seconds. */
export interface SpawnStep {
  /** In a session of its own, out of reach of a group kill. */
  readonly setsid?: boolean;
  /** Keeps our stdout open. */
  readonly holdPipe?: boolean;
  /** With an empty environment, so without the marker. */
  readonly cleanEnv?: boolean;
  /** By a child that exits at once, so that nothing links it to us. */
  readonly double?: boolean;
  /** Says this line on our stdout, once the file exists; for `holdPipe` alone. */
  readonly says?: { readonly line: string; readonly when: string };
}

/**
 * One thing the fake CLI does. After the last step it says its result, unless it has, and exits.
 */
export type Step =
  | { readonly delta: string }
  /** `count` text deltas of the same text, as fast as they go. */
  | { readonly deltas: { readonly count: number; readonly text: string } }
  /** A raw line of stdout. */
  | { readonly line: string }
  | { readonly stderr: string }
  /** A tool call; `during` happens between its start and its end. */
  | {
      readonly tool: {
        readonly name: string;
        readonly input: unknown;
        readonly output?: string;
        readonly isError?: boolean;
        readonly during?: readonly Step[];
        /** Needs the permission of the hook, the rules or a person. */
        readonly asks?: true;
        /** Whether the model repeats a call when the CLI asks for that. Default: yes. */
        readonly repeats?: false;
      };
    }
  /** A call of an earlier process, which asks again. */
  | { readonly resumed: Pick<DeferredCall, 'id' | 'name' | 'input'> }
  /** These calls at the same time, each as a tool that asks. */
  | { readonly calls: readonly { readonly name: string; readonly input: unknown }[] }
  /**
   * The result line with these fields laid over it. The exit code is 1 when it has `is_error:
   * true`.
   */
  | { readonly result: Readonly<Record<string, unknown>> }
  /** Waits for a message into the running turn. */
  | { readonly awaitMessage: true }
  /** Waits until the file exists. */
  | { readonly waitFor: string }
  /** Says the line once the file exists, also when the answer was given long ago. */
  | { readonly saysLater: { readonly line: string; readonly when: string } }
  /** Creates the file. */
  | { readonly touch: string }
  | { readonly sleepMs: number }
  | { readonly spawn: SpawnStep }
  /** These signals have no effect from now on (they are still journaled). */
  | { readonly ignore: readonly NodeJS.Signals[] }
  /** Many bytes at once; one endless line unless `lines` (of 1 KiB). */
  | { readonly flood: { readonly bytes: number; readonly to: 'stdout' | 'stderr'; readonly lines?: boolean } }
  /** The lines `FF FE 20 C3 28`, which is not UTF-8, and `é`, written in two halves. */
  | { readonly badUtf8: true }
  /** Writes one byte of stdout again and again, without end. */
  | { readonly drip: { readonly everyMs: number } }
  /** Says which of its three streams are terminals, as a line of JSON. */
  | { readonly terminals: true }
  /** Takes it and holds it for a minute. */
  | { readonly take: Taking }
  | { readonly hang: true }
  /** Exits without a result. */
  | { readonly exit: number }
  /** Exits without a word, and makes the file; goes on when it is there. */
  | { readonly exitUnless: string }
  /** Sends itself a signal, with the signal's default effect. */
  | { readonly kill: NodeJS.Signals }
  /** Stops itself (SIGSTOP). */
  | { readonly stop: true };

/** The turn has ended for a call that waits in the session. */
export class Deferred extends Error {
  readonly call: Omit<DeferredCall, 'rest'>;
  constructor(call: Omit<DeferredCall, 'rest'>) {
    super('deferred');
    this.call = call;
  }
}

export interface Stage {
  readonly voice: Voice;
  readonly talk: Talk;
  readonly stdout: Write;
  readonly stderr: Write;
  readonly ignored: Set<string>;
  /** Exit code when the result was said, else null. */
  resultCode: number | null;
}

const POLL_MS = 2;
const FLOOD_CHUNK_BYTES = 64 * 1024;
let toolIds = 0;
const nextToolId = (): string => {
  toolIds += 1;
  return `toolu_fake_${process.pid}_${toolIds}`;
};

export async function runStep(step: Step, stage: Stage): Promise<void> {
  const { voice, stdout, stderr } = stage;
  if ('delta' in step) return voice.delta(step.delta);
  if ('deltas' in step) {
    for (let i = 0; i < step.deltas.count; i += 1) await voice.delta(step.deltas.text);
  } else if ('line' in step) return stdout(`${step.line}\n`);
  else if ('stderr' in step) return stderr(step.stderr);
  else if ('tool' in step) {
    const { name, input, output = 'done', isError = false, during = [] } = step.tool;
    if (step.tool.asks === true) return askedTool(step.tool, stage);
    const id = nextToolId();
    await voice.toolUse(id, name, input);
    for (const inner of during) await runStep(inner, stage);
    await voice.toolResult(id, output, isError);
    await stage.talk.fold();
  } else if ('calls' in step) await askedCalls(step.calls, stage);
  else if ('resumed' in step) await runAsked(step.resumed, stage);
  else if ('result' in step) await giveResult(step.result, stage);
  else if ('waitFor' in step) while (!existsSync(step.waitFor)) await delay(POLL_MS);
  else if ('awaitMessage' in step) while (!stage.talk.hasMessage()) await delay(POLL_MS);
  else if ('saysLater' in step) void sayLater(step.saysLater, stdout);
  else if ('touch' in step) writeFileSync(step.touch, '');
  else if ('sleepMs' in step) await delay(step.sleepMs);
  else if ('spawn' in step) startGrandchild(step.spawn);
  else if ('ignore' in step) for (const signal of step.ignore) stage.ignored.add(signal);
  else if ('flood' in step) await flood(step.flood, step.flood.to === 'stdout' ? stdout : stderr);
  else if ('badUtf8' in step) {
    await stdout(Buffer.from([0xff, 0xfe, 0x20, 0xc3, 0x28, 0x0a, 0xc3]));
    await delay(POLL_MS);
    await stdout(Buffer.from([0xa9, 0x0a]));
  } else if ('drip' in step) {
    for (;;) {
      await stdout('.');
      await delay(step.drip.everyMs);
    }
  } else if ('terminals' in step)
    await stdout(`${JSON.stringify({ terminals: [0, 1, 2].map((fd) => isatty(fd)) })}\n`);
  else if ('take' in step) await take(step.take);
  else if ('exit' in step) process.exit(step.exit);
  else if ('exitUnless' in step) {
    if (existsSync(step.exitUnless)) return;
    writeFileSync(step.exitUnless, '');
    process.exit(1);
  } else if ('kill' in step) {
    process.removeAllListeners(step.kill);
    process.kill(process.pid, step.kill);
    await forever();
  } else if ('stop' in step) process.kill(process.pid, 'SIGSTOP');
  else await forever();
}

const MAKE_AGAIN = /make (exactly )?the same call again/i;

/** A call that needs permission. @throws Deferred */
async function askedTool(tool: AskedTool, stage: Stage): Promise<void> {
  const id = nextToolId();
  await stage.voice.toolUse(id, tool.name, tool.input);
  const isDenied = await runAsked({ ...tool, id }, stage);
  if (isDenied !== null && MAKE_AGAIN.test(isDenied) && tool.repeats !== false) await askedTool(tool, stage);
}

type AskedTool = Extract<Step, { tool: unknown }>['tool'];

/** Calls in one message: they are asked about at the same time. @throws Deferred */
async function askedCalls(calls: readonly AskedTool[], stage: Stage): Promise<void> {
  const made = calls.map((call) => ({ ...call, id: nextToolId() }));
  for (const { id, name, input } of made) await stage.voice.toolUse(id, name, input);
  const results = await Promise.allSettled(made.map((call) => runAsked(call, stage)));
  const deferred = results.find((result) => result.status === 'rejected');
  if (deferred !== undefined) throw deferred.reason;
  const again = calls.filter((_, at) => {
    const result = results[at];
    return result?.status === 'fulfilled' && result.value !== null && MAKE_AGAIN.test(result.value);
  });
  if (again.length > 0) await askedCalls(again, stage);
}

/** Null when it has run, else why it was denied. @throws Deferred */
async function runAsked(
  { id, name, input, output = 'done', during = [] }: AskedTool & { readonly id: string },
  stage: Stage,
): Promise<string | null> {
  const permission = await stage.talk.permit(id, name, input);
  if (permission.kind === 'deferred') throw new Deferred({ id, name, input });
  if (permission.kind === 'denied') {
    await stage.voice.toolResult(id, permission.message, true);
    return permission.message;
  }
  record({ event: 'tool', pid: process.pid, name, input: permission.input, at: Date.now() });
  for (const inner of during) await runStep(inner, stage);
  await stage.voice.toolResult(id, output, false);
  await stage.talk.fold();
  return null;
}

/** The last line of a turn. */
export async function giveResult(result: Readonly<Record<string, unknown>>, stage: Stage): Promise<void> {
  stage.resultCode = (await stage.voice.result(result)) ? 1 : 0;
  if (result['origin'] === undefined) await stage.talk.completed(); // else it is about no message
}

async function sayLater({ line, when }: { line: string; when: string }, stdout: Write): Promise<void> {
  while (!existsSync(when)) await delay(POLL_MS);
  await stdout(`${line}\n`);
}

async function flood(
  { bytes, lines = false }: { bytes: number; lines?: boolean },
  write: Write,
): Promise<void> {
  const chunk = Buffer.alloc(FLOOD_CHUNK_BYTES, lines ? `${'x'.repeat(1023)}\n` : 'x');
  for (let left = bytes; left > 0; left -= chunk.length) await write(chunk.subarray(0, left));
}

/** A pending promise alone would let the process end. */
const forever = (): Promise<never> => new Promise(() => setInterval(() => {}, 1 << 30));

function startGrandchild({
  setsid = false,
  holdPipe = false,
  cleanEnv = false,
  double = false,
  says,
}: SpawnStep): void {
  const env = cleanEnv ? {} : process.env;
  const stdout = holdPipe ? 1 : 'ignore';
  let child: number | undefined;
  if (double) {
    const script = `sleep 1000 >${holdPipe ? '&3' : '/dev/null'} 2>/dev/null & echo $!`;
    const stdio = ['ignore', 'pipe', 'ignore', stdout] as const; // 'ignore' leaves descriptor 3 closed
    const command = setsid ? ['setsid', 'sh', '-c', script] : ['sh', '-c', script];
    child = Number(spawnSync('/usr/bin/env', command, { env, stdio: [...stdio] }).stdout.toString());
  } else {
    const options = { env, detached: setsid, stdio: ['ignore', stdout, 'ignore'] as const };
    const waits = 'while [ ! -e "$0" ]; do sleep 0.01; done; echo "$1"; exec sleep 1000';
    const args = says === undefined ? ['-c', 'exec sleep 1000'] : ['-c', waits, says.when, says.line];
    const grandchild = spawn('/bin/sh', args, { ...options, stdio: [...options.stdio] });
    grandchild.unref();
    child = grandchild.pid;
  }
  if (child) record({ event: 'spawned', pid: process.pid, child, at: Date.now() });
}
