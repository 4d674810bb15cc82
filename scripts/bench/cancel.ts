/** From the wish to stop a run to the death of all it started, its tools included. */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MARKER_VARIABLE } from '../../src/processes/marker.ts';
import { type SdkLoop, startSdkLoop } from './agent-sdk.ts';
import { type ByHand, startByHand } from './by-hand.ts';
import { type BenchClient, createBenchClient } from './client.ts';
import { line, type Samples, sample, turns } from './comparison.ts';
import { childrenOf, processesWith, variableOf } from './proc.ts';
import type { Way } from './results.ts';
import type { Section, Setting } from './setting.ts';
import { warmSettings } from './warm-settings.ts';
import { missingWays } from './ways.ts';

const TOOLS = ['Bash'];
const LOOK_MS = 4;
const WITHIN_MS = 30_000;

/** A run whose tool never ends by itself. */
interface Held {
  /** Asks for its end, as a user would. */
  stop(): Promise<unknown>;
  /** Settles when whoever ran it has given it up. */
  readonly ended: Promise<unknown>;
}
type Hold = (prompt: string, marker: Readonly<Record<string, string>>) => Promise<Held>;

async function until<T>(look: () => T | null, what: string): Promise<T> {
  const givenUpAt = performance.now() + WITHIN_MS;
  for (;;) {
    const found = look();
    if (found !== null) return found;
    if (performance.now() > givenUpAt) throw new Error(`${what}: not within ${WITHIN_MS / 1000} s`);
    await delay(LOOK_MS);
  }
}

/** Milliseconds from the wish to the end of the last process with the run's marker. */
async function timeToDeath(workspace: string, hold: Hold): Promise<number> {
  const name = `held-${randomUUID()}`;
  const file = join(workspace, name);
  writeFileSync(file, '');
  const input = JSON.stringify({ command: `tail -f ${file}`, description: 'Wait' });
  const held = await hold(`[[tool: Bash ${input}]]`, { [MARKER_VARIABLE]: `bench/${name}` });
  // The shell around it has the same text; the tool itself begins with its name. Arguments are joined by NULs there.
  const tool = await until(
    () => processesWith('cmdline', `tail\0-f\0${file}`)[0] ?? null,
    'the tool of the run has started',
  );
  const marker = variableOf(tool, MARKER_VARIABLE);
  if (marker === null) throw new Error('the tool of the run has no marker');
  const left = (): number[] => processesWith('environ', `${MARKER_VARIABLE}=${marker}\0`);
  try {
    const startedAt = performance.now();
    const stopped = held.stop();
    await until(() => (left().length === 0 ? true : null), 'all processes of the run are dead');
    const tookMs = performance.now() - startedAt;
    await stopped;
    await held.ended;
    return tookMs;
  } finally {
    for (const pid of left()) process.kill(pid, 'SIGKILL');
  }
}

/** Ctrl-C: a terminal sends it to the whole foreground group. */
const byHand =
  (hand: ByHand): Hold =>
  async (prompt, marker) => {
    const ended = hand.held(prompt, TOOLS, marker);
    return {
      ended,
      stop: async () => {
        for (const { pid } of childrenOf(hand.pid)) process.kill(-pid, 'SIGINT');
      },
    };
  };

const bySdk =
  (sdk: SdkLoop): Hold =>
  async (prompt, marker) => {
    const { abort, ended } = sdk.held(prompt, TOOLS, marker);
    return { ended, stop: abort };
  };

const byServer =
  (client: BenchClient): Hold =>
  async (prompt) => {
    const { id } = await client.submit({ prompt, allowedTools: TOOLS });
    return { ended: Promise.resolve(), stop: () => client.cancel(id).then(() => client.finished(id)) };
  };

export async function measureCancel(setting: Setting): Promise<Section> {
  const rounds = setting.quick ? 1 : 3;
  using hand = startByHand(setting);
  using sdk = startSdkLoop(setting);
  await using coldServer = await setting.server({ env: warmSettings('cold') });
  await using warmServer = await setting.server({ env: warmSettings('warm') });
  using coldClient = createBenchClient(coldServer);
  using warmClient = createBenchClient(warmServer);
  const holds: readonly { readonly way: Way; readonly hold: Hold }[] = [
    { way: 'hand', hold: byHand(hand) },
    ...(sdk === null ? [] : [{ way: 'sdk' as const, hold: bySdk(sdk) }]),
    { way: 'cold', hold: byServer(coldClient) },
    { way: 'warm', hold: byServer(warmClient) },
  ];
  const deadMs: Samples = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const { way, hold } of turns(holds, round))
      sample(deadMs, way, await timeToDeath(setting.workspace, hold));
    const said = holds.map(({ way }) => `${way} ${deadMs[way]?.at(-1)?.toFixed(0)}`).join(', ');
    setting.log(`cancel, round ${round + 1} of ${rounds}: ${said} ms`);
  }
  return {
    title: `Cancel while a tool runs, until no process of the run is left (in turns, rounds: ${rounds})`,
    lines: [line('cancel → all dead', 'ms', deadMs, missingWays(setting))],
    rows: [],
    notes: [
      'By hand: SIGINT to the process group, as Ctrl-C does; Agent SDK: its AbortController; Bullpen: POST /v1/jobs/:id/cancel.',
    ],
    data: deadMs,
  };
}
