import { Anthropic, type ClientOptions } from '@anthropic-ai/sdk/client';
import type { MessageCreateParamsStreaming } from '@anthropic-ai/sdk/resources/messages/messages';
import type {
  AnthropicRequest,
  RunnerError,
  RunnerResult,
  RunnerRetry,
} from '../protocol/anthropic-runner.ts';
import { brokenStream, failureLine } from './failure-line.ts';
import { createMessageFold, type MessageEvent } from './message-fold.ts';
import { createRetryWatch } from './retry-watch.ts';

export interface AnswerOptions {
  readonly request: AnthropicRequest;
  /** Only ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN and ANTHROPIC_BASE_URL are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  write(line: MessageEvent | RunnerRetry | RunnerResult | RunnerError): void;
}

/**
 * Asks the Messages API, hands on every event of its stream, and at last a result or an error.
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

/** A key given in code keeps the SDK from looking for logins in the user's files. An empty one is none. */
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
