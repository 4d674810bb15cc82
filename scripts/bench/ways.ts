/** The ways to have one prompt run, each behind the same two questions. */
import type { SdkLoop } from './agent-sdk.ts';
import type { ByHand } from './by-hand.ts';
import { createBenchClient } from './client.ts';
import type { Way } from './results.ts';
import type { BenchServer } from './server.ts';
import { type Setting, timed } from './setting.ts';
import { type BullpenWay, warmSettings } from './warm-settings.ts';

/** What the model is told to say, so that nothing but the way there is measured. */
export const PROMPT = 'Say it. [[reply: it]]';
export const ANSWER = 'it';

/** Figures of one prompt: what was asked for is there, and what came along with it. */
export interface Took {
  readonly answerMs?: number;
  readonly firstMs?: number;
}

export interface Runner {
  readonly way: Way;
  /** Milliseconds until the caller has the whole answer. */
  answer(): Promise<Took>;
  /** Milliseconds until the caller has the first piece of text; null when `answer` tells that as well. */
  readonly firstText: (() => Promise<Took>) | null;
  /** Has any prompt run to its end, whatever it says. */
  run(prompt: string): Promise<unknown>;
}

/** A shell has its answer when the process has ended. */
export const handRunner = (hand: ByHand): Runner => ({
  way: 'hand',
  answer: async () => {
    const { endMs, firstMs } = await hand.claude(PROMPT, ANSWER);
    return firstMs === null ? { answerMs: endMs } : { answerMs: endMs, firstMs };
  },
  firstText: null,
  run: (prompt) => hand.held(prompt, [], {}),
});

/** A program has its answer with the result, before the process has ended. */
export const sdkRunner = (sdk: SdkLoop): Runner => ({
  way: 'sdk',
  answer: async () => {
    const { answerMs, firstMs } = await sdk.query(PROMPT, ANSWER);
    return firstMs === null ? { answerMs } : { answerMs, firstMs };
  },
  firstText: null,
  run: (prompt) => sdk.held(prompt, [], {}).ended,
});

/** A server that runs prompts one way, and a client of it. */
export interface BullpenRunner extends Runner, AsyncDisposable {
  readonly way: BullpenWay;
  readonly server: BenchServer;
}

/**
 * Starts a server for one of Bullpen's ways. In a session, every prompt is the next turn of one conversation, which
 * has begun: its first job made it, the second named it, and from the third on a kept process can answer.
 */
export async function startBullpen(
  setting: Setting,
  way: BullpenWay,
  env: Readonly<Record<string, string>> = {},
): Promise<BullpenRunner> {
  const server = await setting.server({ env: { ...warmSettings(way), ...env } });
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
    run: (prompt) => client.end({ ...request, prompt }),
    [Symbol.asyncDispose]: stop,
  };
}

/** Why a way was not measured. */
export const missingWays = ({ sdk }: Setting): Readonly<Partial<Record<Way, string>>> =>
  'missing' in sdk ? { sdk: sdk.missing } : {};
