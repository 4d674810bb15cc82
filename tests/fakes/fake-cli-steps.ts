import { spawn, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty } from 'node:tty';
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
      };
    }
  /**
   * The result line with these fields laid over it. The exit code is 1 when it has `is_error:
   * true`.
   */
  | { readonly result: Readonly<Record<string, unknown>> }
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

export interface Stage {
  readonly voice: Voice;
  readonly stdout: Write;
  readonly stderr: Write;
  readonly ignored: Set<string>;
  /** Exit code when the result was said, else null. */
  resultCode: number | null;
}

const POLL_MS = 2;
const FLOOD_CHUNK_BYTES = 64 * 1024;
let toolIds = 0;

export async function runStep(step: Step, stage: Stage): Promise<void> {
  const { voice, stdout, stderr } = stage;
  if ('delta' in step) return voice.delta(step.delta);
  if ('deltas' in step) {
    for (let i = 0; i < step.deltas.count; i += 1) await voice.delta(step.deltas.text);
  } else if ('line' in step) return stdout(`${step.line}\n`);
  else if ('stderr' in step) return stderr(step.stderr);
  else if ('tool' in step) {
    const { name, input, output = 'done', isError = false, during = [] } = step.tool;
    toolIds += 1;
    const id = `toolu_fake_${toolIds}`;
    await voice.toolUse(id, name, input);
    for (const inner of during) await runStep(inner, stage);
    await voice.toolResult(id, output, isError);
  } else if ('result' in step) stage.resultCode = (await voice.result(step.result)) ? 1 : 0;
  else if ('waitFor' in step) while (!existsSync(step.waitFor)) await delay(POLL_MS);
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
