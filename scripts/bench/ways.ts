/** The ways to run one prompt, each behind the same two questions. */
import type { AgentSdk, SdkWay } from './agent-sdk.ts';
import type { ByHand, HandRun } from './by-hand.ts';
import { createBenchClient } from './client.ts';
import type { Way } from './results.ts';
import type { BenchServer } from './server.ts';
import { type Setting, timed } from './setting.ts';

/** The model's answer is in the prompt, so that only the way to the model is measured. */
export const PROMPT = 'Say it. [[reply: it]]';
export const ANSWER = 'it';

export type BullpenWay = 'cold' | 'warm' | 'session';

/** Settings of a server for each way; a setting that is not named has its default. */
export const WAY_SETTINGS: Readonly<Record<BullpenWay, Readonly<Record<string, string>>>> = {
  cold: { BULLPEN_WARM_PROCESSES: '0', BULLPEN_SESSION_IDLE_MS: '0' },
  warm: { BULLPEN_SESSION_IDLE_MS: '0' },
  session: { BULLPEN_SESSION_IDLE_MS: '600000' },
};

/** Milliseconds of one prompt. */
export interface Took {
  readonly answerMs?: number;
  readonly firstMs?: number;
  /** From the result to the exit of the process. */
  readonly exitMs?: number;
}

export interface Runner {
  readonly way: Way;
  /** Until the caller has the whole answer. */
  answer(): Promise<Took>;
  /** Until the caller has the first piece of text; null when `answer` measures that too. */
  readonly firstText: (() => Promise<Took>) | null;
  /** Runs any prompt to its end, with any answer. */
  run(prompt: string): Promise<unknown>;
}

const tookOf = ({ endMs, firstMs }: Pick<HandRun, 'endMs' | 'firstMs'>): Took =>
  firstMs === null ? { answerMs: endMs } : { answerMs: endMs, firstMs };

/** In a shell, the answer is there when the process has exited. */
export const handRunner = (hand: ByHand): Runner => ({
  way: 'hand',
  answer: async () => tookOf(await hand.claude(PROMPT, ANSWER)),
  firstText: null,
  run: (prompt) => hand.claude(prompt, null),
});

/** How one prompt is answered without Bullpen, by a process that was started ahead. */
export type AheadRunner = Pick<Runner, 'way' | 'answer' | 'firstText'>;

/** Each process answers one prompt; the next one starts after it. */
export async function bareRunner(hand: ByHand): Promise<AheadRunner> {
  let next = hand.boot();
  await next;
  return {
    way: 'bare',
    async answer() {
      const took = await (await next).ask(PROMPT, ANSWER, false);
      next = hand.boot();
      return { ...tookOf(took), exitMs: took.endMs - took.resultMs };
    },
    firstText: null,
  };
}

/** Every prompt is the next turn of one process. */
export async function bareTurnRunner(hand: ByHand): Promise<AheadRunner> {
  const process = await hand.boot();
  await process.ask(PROMPT, ANSWER, true);
  return {
    way: 'turn',
    answer: async () => tookOf(await process.ask(PROMPT, ANSWER, true)),
    firstText: null,
  };
}

/** Each process answers one prompt; the next one starts after it. */
export async function sdkRunner(sdk: AgentSdk, way: SdkWay): Promise<AheadRunner> {
  let next = sdk.boot(way);
  await next;
  return {
    way,
    async answer() {
      await next;
      const took = await sdk.ask(way, PROMPT, ANSWER);
      next = sdk.boot(way);
      return tookOf(took);
    },
    firstText: null,
  };
}

export interface BullpenRunner extends Runner, AsyncDisposable {
  readonly server: BenchServer;
}

/**
 * Starts a server for one of Bullpen's ways. In a session, every prompt is the next turn of one
 * conversation: the first job creates it, the second names it, and from the third on an idle
 * process can answer.
 */
export async function startBullpen(
  setting: Setting,
  way: BullpenWay,
  env: Readonly<Record<string, string>> = {},
  config: Readonly<Record<string, unknown>> = {},
): Promise<BullpenRunner> {
  const server = await setting.server({ env: { ...WAY_SETTINGS[way], ...env }, config });
  const client = createBenchClient(server);
  let request: Readonly<Record<string, unknown>> = { prompt: PROMPT };
  const stop = async (): Promise<void> => {
    client[Symbol.dispose]();
    await server.stop();
  };
  try {
    if (way === 'session') {
      const { outcome } = await client.answer(request, ANSWER);
      request = { ...request, sessionId: outcome?.sessionId };
      await client.answer(request, ANSWER);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    way,
    server,
    answer: async () => ({ answerMs: await timed(async () => void (await client.answer(request, ANSWER))) }),
    firstText: async () => ({ firstMs: await client.firstText(request) }),
    run: (prompt) => client.run({ ...request, prompt }),
    [Symbol.asyncDispose]: stop,
  };
}
