/**
 * `redis-cli PUBLISH claude:cli:requests '{"id":"test","prompt":"Hello","args":["--print"]}'`: the supported way
 * to debug. Each becomes a job like any other, owned by `raw`; its id is only echoed, so the same command works
 * again and again. At-most-once: a message nobody heard is gone (PUBLISH then answers 0).
 */
import { RAW_PRINCIPAL } from '../auth/principal.ts';
import { messageOf } from '../errors.ts';
import type { RawRequest } from '../protocol/messages.ts';
import type { PromptRequest, ResolvedPrompt } from '../protocol/prompt.ts';
import type { Claims } from '../records/ports.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import { encode, RAW_FORMAT, RAW_ID } from './raw-answer.ts';
import { parseRawArgs } from './raw-args.ts';

export interface RawRequestsOptions {
  readonly claims: Pick<Claims, 'adopt'>;
  readonly doorbells: Pick<Doorbells, 'publish'>;
  readonly responses: string;
  /** Applies the settings' defaults and checks every option; throws AppError. */
  resolve(request: PromptRequest): Promise<ResolvedPrompt>;
  /** A new job id and when it was made. */
  mint(): { readonly id: string; readonly createdAt: number };
  newExecutionId(): string;
}

export function createRawRequests(options: RawRequestsOptions) {
  const answer = (id: string | number | null, error: string): Promise<void> =>
    options.doorbells.publish(options.responses, encode({ id, success: false, error }));

  return {
    refused: answer,

    async request(raw: RawRequest): Promise<void> {
      let request: ResolvedPrompt;
      try {
        const { fields, format } = parseRawArgs(raw.args ?? []);
        request = await options.resolve({
          ...fields,
          metadata: { [RAW_ID]: JSON.stringify(raw.id), [RAW_FORMAT]: format },
          prompt: raw.prompt,
          ...(raw.provider === undefined ? {} : { provider: raw.provider }),
          ...(raw.cwd === undefined ? {} : { cwd: raw.cwd }),
          ...(raw.timeoutMs === undefined ? {} : { timeoutMs: raw.timeoutMs }),
        });
      } catch (error) {
        await answer(raw.id, messageOf(error));
        return;
      }
      const job = {
        ...options.mint(),
        kind: 'raw',
        owner: RAW_PRINCIPAL.id,
        request,
        retryOf: null,
        pin: null,
        idempotency: null,
      } as const;
      // False: another server answers raw requests, and it heard this one too.
      await options.claims.adopt(job, options.newExecutionId());
    },
  };
}
