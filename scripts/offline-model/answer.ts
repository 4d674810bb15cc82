import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { anthropic } from './anthropic.ts';
import { DirectiveError, type Step } from './behaviour.ts';
import { gemini } from './gemini.ts';
import { openai } from './openai.ts';
import { play, sendJson } from './play.ts';
import type { RequestLog } from './request-log.ts';
import { lastPrompt, type Refusals, type Resolution, resolve } from './script.ts';
import type { Ask, Call, Vendor } from './vendor.ts';

/**
 * The wire formats spoken, tried in this order; a route that none knows is refused in the first
 * one's words.
 */
const VENDORS: readonly [Vendor, ...Vendor[]] = [anthropic, openai, gemini];

const WRONG_KEY = 'wrong-key';

/**
 * What the answers of one server share. The server changes `setting` and `released`; the rest is
 * only added to.
 */
export interface AnswerState {
  readonly log: RequestLog;
  readonly refusals: Refusals;
  setting: readonly Step[];
  released: Promise<void>;
}

/**
 * Answers one HTTP request and records it. Rejects when `signal` aborts before the answer is
 * complete.
 */
export async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  state: AnswerState,
  signal: AbortSignal,
): Promise<void> {
  const call = await readCall(request);
  const { vendor, reading } = readingOf(call);
  const key = vendor.key(call.headers);
  const apiKey = key === null ? null : createHash('sha256').update(key).digest('hex').slice(0, 12);
  const entry = { method: call.method, path: call.path, at: new Date().toISOString(), apiKey };
  const recordOther = (behaviour: string): number =>
    state.log.add({
      ...entry,
      kind: 'other',
      model: null,
      lastUserText: null,
      userTexts: [],
      instructions: null,
      behaviour,
    });
  const refuse = (status: number, message: string, behaviour: string): void =>
    sendJson(response, vendor.failure({ status, message, retryAfterSeconds: null }, recordOther(behaviour)));

  if (reading === null) return refuse(404, `No such route: ${call.method} ${call.path}`, 'unknown route');
  if (reading.needsKey && key === null) return refuse(401, 'An API key is required.', 'refused key');
  if (reading.needsKey && key === WRONG_KEY) return refuse(401, 'The API key is invalid.', 'refused key');
  if (reading.kind === 'fixed') {
    recordOther('fixed');
    return sendJson(response, reading.answer);
  }
  const { ask } = reading;
  const resolution = resolveOrRefuse(ask, state);
  const serial = state.log.add({
    ...entry,
    kind: ask.own === null ? 'turn' : 'own',
    model: ask.model,
    lastUserText: lastPrompt(ask).prompt,
    userTexts: ask.messages.flatMap(({ role, text }) => (role === 'user' && text !== '' ? [text] : [])),
    instructions: ask.instructions ?? null,
    behaviour: resolution.label,
  });
  await play(resolution, { vendor, ask, serial, response, released: state.released, signal });
}

async function readCall(request: IncomingMessage): Promise<Call> {
  const raw = await text(request);
  const path = new URL(request.url ?? '/', 'http://offline').pathname;
  return { method: request.method ?? 'GET', path, headers: request.headers, body: parsed(raw) };
}

function parsed(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}

function readingOf(call: Call): { vendor: Vendor; reading: ReturnType<Vendor['read']> } {
  for (const vendor of VENDORS) {
    const reading = vendor.read(call);
    if (reading !== null) return { vendor, reading };
  }
  return { vendor: VENDORS[0], reading: null };
}

function resolveOrRefuse(ask: Ask, { setting, refusals }: AnswerState): Resolution {
  try {
    return resolve(ask, setting, refusals);
  } catch (error) {
    if (!(error instanceof DirectiveError)) throw error;
    const message = `The offline model cannot read a directive: ${error.message}`;
    return {
      kind: 'failure',
      label: 'bad directive',
      failure: { status: 400, message, retryAfterSeconds: null },
    };
  }
}
