/** One request to the server: its headers, its errors, and when it is sent again. */
import { ApiError, apiErrorOf, UnreachableError } from './errors.ts';

export interface CallOptions {
  /** `http://127.0.0.1:3000`; a path in it is kept. */
  readonly url: string;
  /** Null: the browser sends the login cookie of the page. */
  readonly token: string | null;
  readonly fetch: typeof fetch;
  /** Waits before the second, third, … try of a repeatable request. */
  readonly retryDelaysMs: readonly number[];
  /** Rejects when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With a leading slash. */
  readonly path: string;
  /** A list repeats the name; undefined values are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Whether sending it twice has the same effect as sending it once. */
  readonly repeatable: boolean;
  /** Statuses beside 2xx that are answers and not errors. */
  readonly acceptedStatuses?: readonly number[];
}

/** A longer Retry-After is cut to this. */
export const MAX_RETRY_AFTER_MS = 15_000;

export const DEFAULT_SLEEP: CallOptions['sleep'] = (ms, signal) =>
  new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });

/** 128 random bits. `crypto.randomUUID` is missing in pages that came over plain HTTP. */
export const randomId = (): string =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** Sends a request once. @throws ApiError, UnreachableError, or the reason of `signal` */
export async function send(options: CallOptions, call: Call): Promise<Response> {
  const { method = 'GET', body, signal, acceptedStatuses = [] } = call;
  let response: Response;
  try {
    response = await options.fetch(addressOf(options.url, call), {
      method,
      headers: {
        ...(options.token === null ? {} : { authorization: `Bearer ${options.token}` }),
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...call.headers,
      },
      redirect: 'manual', // the token goes to the named server only
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new UnreachableError(options.url, error);
  }
  if (response.ok || acceptedStatuses.includes(response.status)) return response;
  throw await apiErrorOf(response);
}

/**
 * Sends a request, repeats it where that is safe, and returns the JSON of the answer, documented as
 * `T`.
 */
export async function requestJson<T>(options: CallOptions, call: Call): Promise<T> {
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

/**
 * Sends a request once and returns each line of the answer as it is read.
 * @throws ApiError; UnreachableError, also when the answer breaks off
 */
export async function* requestLines(
  options: CallOptions,
  call: Call,
): AsyncGenerator<string, void, undefined> {
  const { body } = await send(options, call);
  let rest = '';
  try {
    for await (const text of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    call.signal?.throwIfAborted();
    throw new UnreachableError(options.url, error);
  }
}

/** The same with lines of JSON, documented as `T`. */
export async function* requestNdjson<T>(
  options: CallOptions,
  call: Call,
): AsyncGenerator<T, void, undefined> {
  const headers = { ...call.headers, accept: 'application/x-ndjson' };
  for await (const line of requestLines(options, { ...call, headers })) yield JSON.parse(line) as T; // the documented line
}

/** Whether the same request may succeed in a moment. A refused connection is reported at once. */
function mayPass(error: unknown): boolean {
  if (error instanceof ApiError) return error.status === 503 || error.status === 429;
  return error instanceof UnreachableError && !error.refused;
}

/** The wait before the next try: as planned, or longer when the server asked for it. */
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
  if (text === '') return undefined as T; // 204: the callers of such routes expect no value
  try {
    return JSON.parse(text) as T; // the documented answer
  } catch {
    const detail = `the answer of ${url} is not JSON; is it a Bullpen server?`;
    throw new ApiError({ status: response.status, code: 'unknown', detail });
  }
}

function addressOf(base: string, { path, query = {} }: Call): URL {
  const url = new URL(base.replace(/\/+$/, '') + path);
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? unsplit(value) : [value])
      url.searchParams.append(name, String(one));
  }
  return url;
}

/**
 * The server splits a single value at its commas; a repeated value is not split and means the same.
 */
const unsplit = (values: readonly string[]): readonly string[] =>
  values.length === 1 && values[0]?.includes(',') === true ? [...values, ...values] : values;
