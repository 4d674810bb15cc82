/** The ways to run one prompt, each behind the same two questions. */
import type { ByHand } from './by-hand.ts';
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

/** In a shell, the answer is there when the process has exited. */
export const handRunner = (hand: ByHand): Runner => ({
  way: 'hand',
  answer: async () => {
    const { endMs, firstMs } = await hand.claude(PROMPT, ANSWER);
    return firstMs === null ? { answerMs: endMs } : { answerMs: endMs, firstMs };
  },
  firstText: null,
  run: (prompt) => hand.claude(prompt, null),
});

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
): Promise<BullpenRunner> {
  const server = await setting.server({ env: { ...WAY_SETTINGS[way], ...env } });
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
