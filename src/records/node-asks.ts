/**
 * Questions between nodes. A question is an entry of a list in Redis, its answer is a key, and both
 * have a doorbell. A node takes a question before it does what is asked, so that is done at most
 * once.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { Type } from '#typebox';
import type { Signer } from '../auth/signer.ts';
import {
  AppError,
  ERROR_CODES,
  isRedisTrouble,
  messageOf,
  toWire,
  type WireError,
  wireError,
} from '../errors.ts';
import type { Service } from '../lifecycle.ts';
import { createLogLimit, type Log } from '../log.ts';
import { createChecker } from '../protocol/checker.ts';
import { ULID } from '../protocol/schema.ts';
import { TerminalAsk } from '../protocol/terminal.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import type { Names } from '../redis/names.ts';
import type { ScriptRunner } from './script-runner.ts';
import type { NodeAsks, NodeQuestion } from './session-ports.ts';

/** A longer question is refused. An input of 64 KiB has up to six times as many bytes as JSON. */
const MAX_QUESTION_BYTES = 512 * 1024;
/** A longer answer is replaced by an error. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const TOO_LARGE = wireError('internal.error', 'the answer of the other server is too large');
/** Questions that are taken at once. */
const MAX_TAKEN = 100;
const TIMEOUT_MS = 5000;
const POLL_MS = 500;

const storedQuestion = createChecker(
  Type.Object({
    id: Type.String({ pattern: '^[0-9a-f-]{36}$' }),
    from: Type.String(),
    /** Milliseconds, by the clock of Redis. */
    at: Type.Number(),
    /** JSON of a {@link NodeQuestion}. */
    question: Type.String(),
    signature: Type.String(),
  }),
);
const storedContent = createChecker(
  Type.Object({ sessionId: Type.String({ pattern: ULID.source }), ask: TerminalAsk }),
);
const storedAnswer = createChecker(
  Type.Object({
    /** JSON: `{ value }`, or `{ error }`. */
    answer: Type.String(),
    signature: Type.String(),
  }),
);

export interface NodeAsksOptions {
  readonly redis: Pick<Redis, 'time' | 'getdel' | 'lrem'>;
  readonly names: Pick<Names, 'asks' | 'answer' | 'asksDoorbell' | 'answersDoorbell'>;
  readonly scripts: ScriptRunner;
  readonly doorbells: Pick<Doorbells, 'listen' | 'onResumed'>;
  readonly node: string;
  /** Null: questions and answers are not signed. */
  readonly signer: Signer | null;
  /** How long a question may wait for its answer. Default: 5 s. */
  readonly timeoutMs?: number;
  /** Pause between looks without a doorbell, in case one was lost. Default: 500 ms. */
  readonly pollMs?: number;
  readonly logger: Log;
}

/** {@link NodeAsks} over Redis, for one node. */
export function createNodeAsks(options: NodeAsksOptions): NodeAsks {
  const { redis, names, scripts, doorbells, node, signer } = options;
  const { timeoutMs = TIMEOUT_MS, pollMs = POLL_MS } = options;
  /** Wakes the questions of this node that wait for an answer, by id. */
  const waiting = new Map<string, () => void>();
  let listening: Promise<unknown> | null = null;

  function listen(): Promise<unknown> {
    listening ??= doorbells
      .listen(names.answersDoorbell(node), (id) => waiting.get(id)?.())
      .catch((error: unknown) => {
        listening = null;
        throw error;
      });
    return listening;
  }

  /** Waits for the answer to a question; null: none came in time. */
  async function answerTo(id: string): Promise<string | null> {
    let rung = Promise.withResolvers<void>();
    waiting.set(id, () => rung.resolve());
    const deadline = performance.now() + timeoutMs;
    try {
      for (;;) {
        const text = await redis.getdel(names.answer(id)).catch(notNow);
        const answer = text === null ? null : readAnswer(id, text, signer);
        const leftMs = deadline - performance.now();
        if (answer !== null || leftMs <= 0) return answer;
        const timer = setTimeout(rung.resolve, Math.min(pollMs, leftMs));
        await rung.promise;
        clearTimeout(timer);
        rung = Promise.withResolvers();
      }
    } finally {
      waiting.delete(id);
    }
  }

  return {
    async ask(target, question) {
      const body = JSON.stringify(question);
      if (Buffer.byteLength(body) > MAX_QUESTION_BYTES)
        throw new AppError('request.too_large', 'the request is too large for the server of the terminal');
      await listen();
      const asked = { id: randomUUID(), from: node, at: await redisNow(redis), question: body };
      const signature = signer?.sign(questionTexts(target, asked)) ?? '';
      const text = JSON.stringify({ ...asked, signature });
      await scripts.run('node-ask', { node: target, text, keepMs: 2 * timeoutMs });
      const answer = await answerTo(asked.id);
      if (answer !== null) return resultOf(answer);
      const isBack = ((await redis.lrem(names.asks(target), 1, text).catch(notNow)) ?? 0) > 0;
      const why = isBack ? 'nothing was done' : 'whether it was done is not known';
      throw new AppError(
        'execution.node_unavailable',
        `the server ${target}, which has the terminal, does not answer; ${why}`,
      );
    },

    serve: (answer) => createServing(options, answer),
  };
}

/** Answers the questions of a node. */
function createServing(
  { redis, names, scripts, doorbells, node, signer, logger, ...times }: NodeAsksOptions,
  answer: (question: NodeQuestion) => Promise<unknown>,
): Service<void> {
  const { timeoutMs = TIMEOUT_MS, pollMs = POLL_MS } = times;
  /** Questions from before the start may be copies of some that were done then. */
  let startedAt = 0;
  /** When each question was asked that was taken. */
  const taken = new Map<string, number>();
  let timer: NodeJS.Timeout | null = null;
  let taking: Promise<void> | null = null;
  let again = false;
  let stopListening: (() => Promise<void>) | null = null;
  let stopResumed = (): void => undefined;
  const doing = new Set<Promise<void>>();
  const refused = createLogLimit();

  function kick(): void {
    again = true;
    taking ??= takeAll()
      .catch((error: unknown) => logger.debug({ reason: messageOf(error) }, 'questions cannot be read now'))
      .finally(() => {
        taking = null;
      });
  }

  async function takeAll(): Promise<void> {
    while (again && timer !== null) {
      again = false;
      const reply = await scripts.run('node-take', { node, limit: MAX_TAKEN });
      const [now, texts] = reply as [number, string[]]; // the script's reply
      for (const [id, at] of taken) if (at < now - 2 * timeoutMs) taken.delete(id);
      for (const text of texts) {
        const done: Promise<void> = settle(text, now).finally(() => doing.delete(done));
        doing.add(done);
      }
      again ||= texts.length === MAX_TAKEN;
    }
  }

  /** Answers a question. Up to the call of `answer` it runs at once, so the order is kept. */
  async function settle(text: string, now: number): Promise<void> {
    const asked = readQuestion(text, node, signer);
    const isFresh = asked !== null && asked.at >= Math.max(startedAt, now - timeoutMs);
    if (!isFresh || taken.has(asked.id)) {
      const count = refused('question');
      if (count !== null) logger.warn({ count }, 'a question that no server asks now was refused');
      return;
    }
    taken.set(asked.id, asked.at);
    const reply = JSON.stringify(await answer(asked.question).then((value) => ({ value }), errorOf));
    const isFit = Buffer.byteLength(reply) <= MAX_ANSWER_BYTES;
    const sent = isFit ? reply : JSON.stringify({ error: TOO_LARGE });
    const signature = signer?.sign(answerTexts(asked.id, sent)) ?? '';
    const args = { id: asked.id, from: asked.from, text: JSON.stringify({ answer: sent, signature }) };
    await scripts
      .run('node-answer', { ...args, keepMs: 2 * timeoutMs })
      .catch((error: unknown) => logger.debug({ reason: messageOf(error) }, 'an answer cannot be sent now'));
  }

  function errorOf(error: unknown): { readonly error: WireError } {
    if (!(error instanceof AppError)) logger.error({ err: error }, 'a question could not be answered');
    return { error: toWire(error) };
  }

  return {
    async start() {
      if (timer !== null) return;
      startedAt = await redisNow(redis);
      timer = setInterval(kick, pollMs);
      stopResumed = doorbells.onResumed(kick);
      stopListening = await doorbells.listen(names.asksDoorbell(node), kick);
      kick();
    },
    async stop() {
      if (timer !== null) clearInterval(timer);
      timer = null;
      stopResumed();
      await stopListening?.();
      await taking;
      await Promise.all(doing);
    },
  };
}

/** Null: Redis is away. */
function notNow(error: unknown): null {
  if (!isRedisTrouble(error)) throw error;
  return null;
}

async function redisNow(redis: Pick<Redis, 'time'>): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

interface Asked {
  readonly id: string;
  readonly from: string;
  readonly at: number;
  readonly question: string;
}

const questionTexts = (target: string, { id, from, at, question }: Asked): readonly string[] => [
  ...['node-ask', target, from, id, String(at), question],
];

const answerTexts = (id: string, answer: string): readonly string[] => ['node-answer', id, answer];

/** Null: no server has asked it. */
function readQuestion(
  text: string,
  node: string,
  signer: Signer | null,
): (Omit<Asked, 'question'> & { readonly question: NodeQuestion }) | null {
  const asked = jsonOf(text);
  if (!storedQuestion.check(asked)) return null;
  if (signer !== null && !signer.isSigned(questionTexts(node, asked), asked.signature)) return null;
  const question = jsonOf(asked.question);
  return storedContent.check(question) ? { ...asked, question } : null;
}

/** The JSON of an answer; null: no server has given it. */
function readAnswer(id: string, text: string, signer: Signer | null): string | null {
  const answer = jsonOf(text);
  if (!storedAnswer.check(answer)) return null;
  const isSigned = signer === null || signer.isSigned(answerTexts(id, answer.answer), answer.signature);
  return isSigned ? answer.answer : null;
}

/** @throws AppError the error in the answer */
function resultOf(answer: string): unknown {
  const { error, value } = JSON.parse(answer) as { error?: WireError; value?: unknown }; // of a server
  if (error === undefined) return value;
  const code = Object.hasOwn(ERROR_CODES, error.code) ? error.code : 'internal.error';
  throw new AppError(code, error.message, { resetsAt: error.resetsAt });
}

/** Undefined: it is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
