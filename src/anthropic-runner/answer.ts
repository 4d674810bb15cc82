/** One call of the Messages API: its stream, its retries and its errors as lines. */
import { Anthropic, type ClientOptions } from '@anthropic-ai/sdk/client';
import { APIConnectionError, APIError } from '@anthropic-ai/sdk/core/error';
import type { Middleware } from '@anthropic-ai/sdk/core/middleware';
import type {
  MessageCreateParamsStreaming,
  RawMessageStreamEvent,
} from '@anthropic-ai/sdk/resources/messages/messages';
import { messageOf } from '../errors.ts';
import type {
  AnthropicRequest,
  ConnectionError,
  RunnerError,
  RunnerResult,
  RunnerRetry,
} from '../protocol/anthropic-runner.ts';

export interface AnswerOptions {
  readonly request: AnthropicRequest;
  /** Only ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN and ANTHROPIC_BASE_URL are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  write(line: RawMessageStreamEvent | RunnerRetry | RunnerResult | RunnerError): void;
}

/**
 * Calls the Messages API and writes every event of its stream, then a result or an error.
 * @returns whether there was a result
 */
export async function answer({ request, env, write }: AnswerOptions): Promise<boolean> {
  const credential = credentialIn(env);
  if (credential === null) {
    write(NO_CREDENTIAL);
    return false;
  }
  const client = new Anthropic({
    ...credential,
    baseURL: env['ANTHROPIC_BASE_URL'] ?? null,
    maxRetries: request.maxRetries,
    logLevel: 'off',
    middleware: [createRetryWatch(request.maxRetries, write)],
  });
  const message = createMessageFold();
  try {
    for await (const event of await client.messages.create(parametersOf(request))) {
      message.add(event);
      write(event);
    }
  } catch (error) {
    write(failureLine(error, Date.now()));
    return false;
  }
  const result = message.result();
  write(result ?? brokenStream('the answer ended before it was complete'));
  return result !== null;
}

/**
 * A key in code stops the SDK from looking for logins in the user's files. An empty key is none.
 */
function credentialIn(env: AnswerOptions['env']): Pick<ClientOptions, 'apiKey' | 'authToken'> | null {
  const { ANTHROPIC_API_KEY: apiKey, ANTHROPIC_AUTH_TOKEN: authToken } = env;
  if (apiKey) return { apiKey };
  return authToken ? { authToken } : null;
}

const NO_CREDENTIAL: RunnerError = {
  type: 'error',
  status: null,
  errorType: 'authentication_error',
  message: 'there is no key for the API',
  resetsAt: null,
};

function parametersOf(request: AnthropicRequest): MessageCreateParamsStreaming {
  const { model, maxTokens, prompt, system, outputSchema } = request;
  return {
    model,
    max_tokens: maxTokens,
    messages: [{ role: 'user', content: prompt }],
    stream: true,
    ...(system === null ? {} : { system }),
    ...(outputSchema === null
      ? {}
      : { output_config: { format: { type: 'json_schema', schema: { ...outputSchema } } } }),
  };
}

/** Builds the result from the events of one message. */
export interface MessageFold {
  add(event: RawMessageStreamEvent): void;
  /** null until the message has ended. */
  result(): RunnerResult | null;
}

/** Starts empty. */
export function createMessageFold(): MessageFold {
  let text = '';
  let model = '';
  let stopReason: string | null = null;
  let usage: Record<string, unknown> = {};
  let stopped = false;
  return {
    add(event) {
      switch (event.type) {
        case 'message_start':
          model = event.message.model;
          usage = { ...event.message.usage };
          break;
        case 'content_block_delta':
          if (event.delta.type === 'text_delta') text += event.delta.text;
          break;
        case 'message_delta':
          stopReason = event.delta.stop_reason;
          usage = { ...usage, ...withoutNulls(event.usage) }; // totals, not differences
          break;
        case 'message_stop':
          stopped = true;
          break;
        default: // block starts and stops, and events that a later API adds
      }
    },
    result: () => (stopped ? { type: 'result', text, model, stop_reason: stopReason, usage } : null),
  };
}

/** The last event repeats some counts and sets others to null. */
const withoutNulls = (usage: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== null));

const CONNECTION_ERROR: ConnectionError = 'connection_error';

/**
 * The line for an error of the SDK.
 * @param nowMs turns "in so many seconds" into a time
 * @throws `error` itself when it comes neither from the API nor from the connection
 */
export function failureLine(error: unknown, nowMs: number): RunnerError {
  if (error instanceof APIConnectionError) {
    return brokenStream(error.cause === undefined ? error.message : `${error.message} ${causeOf(error)}`);
  }
  if (error instanceof APIError) {
    return {
      type: 'error',
      status: error.status ?? null,
      errorType: error.type,
      message: error.apiMessage ?? error.message,
      resetsAt: resetsAt(error.headers ?? new Headers(), nowMs),
    };
  }
  // `fetch` throws this when the connection closes in the middle of the answer.
  if (error instanceof TypeError && error.message === 'terminated') {
    return brokenStream(`the answer broke off ${causeOf(error)}`);
  }
  throw error;
}

/** A call without an answer, or with a part of one. */
const brokenStream = (message: string): RunnerError => ({
  type: 'error',
  status: null,
  errorType: CONNECTION_ERROR,
  message,
  resetsAt: null,
});

/** `fetch failed` explains nothing; its innermost cause does. */
function causeOf(error: Error): string {
  let innermost = error;
  while (innermost.cause instanceof Error) innermost = innermost.cause;
  return `(${messageOf(innermost)})`;
}

/** The limits of an API key that have headers of their own. */
const LIMITS = ['requests', 'tokens', 'input-tokens', 'output-tokens'];
const LIMIT_HEADER = 'anthropic-ratelimit';

/**
 * RFC 3339: when a call may succeed: `retry-after`, in seconds or as an HTTP date (RFC 9110,
 * 10.2.3), else the latest reset of the limits that have nothing left. Null: neither says so.
 */
function resetsAt(headers: Headers, nowMs: number): string | null {
  const retryAfter = headers.get('retry-after');
  const seconds = Number(retryAfter);
  const times =
    retryAfter === null
      ? LIMITS.filter((limit) => headers.get(`${LIMIT_HEADER}-${limit}-remaining`) === '0').map((limit) =>
          Date.parse(headers.get(`${LIMIT_HEADER}-${limit}-reset`) ?? ''),
        )
      : [Number.isNaN(seconds) ? Date.parse(retryAfter) : nowMs + seconds * 1000];
  const last = new Date(Math.max(...times.filter((time) => !Number.isNaN(time))));
  return Number.isNaN(last.getTime()) ? null : last.toISOString();
}

/**
 * The SDK would wait for hours if `retry-after` asks for it. A later attempt of the job holds no
 * slot.
 */
const MAX_WAIT_SECONDS = 30;

/** Writes a line for every retry as it begins, and prevents a retry that would wait too long. */
function createRetryWatch(maxRetries: number, write: (line: RunnerRetry) => void): Middleware {
  let tries = 0;
  let status: number | null = null;
  return async (request, next) => {
    if (tries > 0) write({ type: 'retry', retry: tries, maxRetries, status });
    tries += 1;
    status = null;
    const response = await next(request);
    ({ status } = response);
    return waitSeconds(response) > MAX_WAIT_SECONDS ? final(response) : response;
  };
}

/** 0 when the answer does not say, and for a date: dates are rare, and the SDK reads them. */
const waitSeconds = ({ headers }: Response): number => Number(headers.get('retry-after') ?? 0) || 0;

/** The same answer with the header by which the API forbids a retry. */
function final({ body, status, statusText, headers }: Response): Response {
  const changed = new Headers(headers);
  changed.set('x-should-retry', 'false');
  return new Response(body, { status, statusText, headers: changed });
}
