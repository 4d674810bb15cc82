/** One request of the client: its headers, its failures, and when it is sent again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, UnreachableError } from './failures.ts';
import { errorOf } from './problem.ts';

export interface CallOptions {
  /** `http://127.0.0.1:3000`; a path in it is kept. */
  readonly url: string;
  readonly token: string;
  readonly fetch: typeof fetch;
  /** Before each further try of a request that may be repeated. As many entries as further tries. */
  readonly retryDelaysMs: readonly number[];
  /** Rejects when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Call {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  /** With a leading slash. */
  readonly path: string;
  /** A list is sent as the same name again and again; what is undefined is left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Whether doing it twice is as good as doing it once. */
  readonly repeatable: boolean;
  /** Statuses beside 2xx that are an answer and no error. */
  readonly alsoFine?: readonly number[];
}

/** Longest wait a server's Retry-After is obeyed for. */
export const MAX_RETRY_AFTER_MS = 15_000;

export const DEFAULT_SLEEP: CallOptions['sleep'] = async (ms, signal) => {
  await sleep(ms, undefined, signal === undefined ? {} : { signal });
};

/** Sends a request once. @throws ApiError, UnreachableError, or the reason of `signal` */
export async function send(options: CallOptions, call: Call): Promise<Response> {
  const { method = 'GET', body, signal, alsoFine = [] } = call;
  let response: Response;
  try {
    response = await options.fetch(addressOf(options.url, call), {
      method,
      headers: {
        authorization: `Bearer ${options.token}`,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...call.headers,
      },
      // The token goes to the server that was named and to nobody it points to.
      redirect: 'manual',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new UnreachableError(options.url, error);
  }
  if (response.ok || alsoFine.includes(response.status)) return response;
  throw await errorOf(response);
}

/** The JSON of a request's answer, the request repeated where that is safe. `T` is what the API documents. */
export async function ask<T>(options: CallOptions, call: Call): Promise<T> {
  for (const delayMs of [...options.retryDelaysMs, null]) {
    try {
      const response = await send(options, call);
      return await readJson<T>(options.url, response, call.signal);
    } catch (error) {
      if (delayMs === null || !call.repeatable || !mayPass(error)) throw error;
      await options.sleep(delayBefore(error, delayMs), call.signal);
    }
  }
  throw new Error('unreachable: the last try returns or throws');
}

/** Whether the same request may fare better in a moment. Nobody listening is told at once instead. */
function mayPass(error: unknown): boolean {
  if (error instanceof ApiError) return error.status === 503 || error.status === 429;
  return error instanceof UnreachableError && !error.refused;
}

/** The wait before the next try: as planned, or longer when the server said so. */
export function delayBefore(error: unknown, plannedMs: number): number {
  const asked = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
  return Math.max(plannedMs, Math.min(asked, MAX_RETRY_AFTER_MS));
}

async function readJson<T>(url: string, response: Response, signal?: AbortSignal): Promise<T> {
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    signal?.throwIfAborted();
    throw new UnreachableError(url, error);
  }
  if (text === '') return undefined as T; // 204: the callers of such routes expect nothing
  try {
    return JSON.parse(text) as T; // the documented answer
  } catch {
    const detail = `${url} answered with something else than JSON; is it a Bullpen server?`;
    throw new ApiError({ status: response.status, code: 'unknown', detail });
  }
}

function addressOf(base: string, { path, query = {} }: Call): URL {
  const url = new URL(base.replace(/\/+$/, '') + path);
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? listed(value) : [value])
      url.searchParams.append(name, String(one));
  }
  return url;
}

/** A list of one value is read as comma-separated; a value said twice is not, and means the same. */
const listed = (values: readonly string[]): readonly string[] =>
  values.length === 1 && values[0]?.includes(',') === true ? [...values, ...values] : values;
