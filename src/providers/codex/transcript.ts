/**
 * The lines of a thread's file that we use, as of codex 0.169.0: what the user has said, and what
 * `codex exec --json` leaves out about usage limits.
 */
import { Type } from '#typebox';
import { createChecker } from '../../protocol/checker.ts';
import type { RateLimitEvent } from '../../protocol/event.ts';
import { nullable } from '../../protocol/schema.ts';
import { atEpochSeconds } from '../endings.ts';
import type { LimitReport, Transcript } from '../provider.ts';

const userMessage = createChecker(
  Type.Object({
    timestamp: Type.String(),
    payload: Type.Object({
      type: Type.Literal('message'),
      role: Type.Literal('user'),
      content: Type.Array(Type.Object({ text: Type.Optional(Type.String()) })),
    }),
  }),
);

const payload = <T extends string>(type: T) => Type.Object({ type: Type.Literal(type) });
const turnStarted = createChecker(Type.Object({ payload: payload('task_started') }));

/** `resets_at`: seconds since 1970. */
const Window = Type.Object({
  used_percent: Type.Number({ minimum: 0 }),
  resets_at: Type.Optional(nullable(Type.Number())),
});
const LIMITS = ['primary', 'secondary'] as const;
const used = createChecker(
  Type.Object({
    payload: Type.Object({
      type: Type.Literal('token_count'),
      rate_limits: Type.Object({
        primary: Type.Optional(nullable(Window)),
        secondary: Type.Optional(nullable(Window)),
      }),
    }),
  }),
);

/** A plan's limit, or a rate limit that has outlasted the CLI's own retries. */
const limitReached = createChecker(
  Type.Object({
    payload: Type.Object({
      type: Type.Literal('task_complete'),
      error: Type.Object({
        codex_error_info: Type.Union([
          Type.Literal('usage_limit_exceeded'),
          Type.Object({
            response_too_many_failed_attempts: Type.Object({ http_status_code: Type.Literal(429) }),
          }),
        ]),
      }),
    }),
  }),
);

function limitsIn(lines: readonly unknown[]): LimitReport {
  const turn = lines.slice(lines.findLastIndex((line) => turnStarted.check(line)) + 1);
  const refused = turn.some((line) => limitReached.check(line));
  const last = turn.findLast((line) => used.check(line));
  const windows = LIMITS.flatMap((limit): RateLimitEvent[] => {
    const window = last?.payload.rate_limits[limit] ?? null;
    if (window === null) return [];
    const use = window.used_percent / 100;
    const resetsAt = typeof window.resets_at === 'number' ? atEpochSeconds(window.resets_at) : null;
    const status = refused && use >= 1 ? 'rejected' : 'allowed';
    return [{ kind: 'rate_limit', status, limit, resetsAt, use }];
  });
  const resets = windows.flatMap(({ status, resetsAt }) =>
    status === 'rejected' && resetsAt !== null ? [resetsAt] : [],
  );
  return { windows, refused: refused ? { resetsAt: resets.sort().at(-1) ?? null } : null };
}

const textOf = (content: readonly { readonly text?: string }[]): string =>
  content.map(({ text = '' }) => text).join('\n');

/** codex writes the prompt before it calls the model (observed with 0.169.0). */
export const TRANSCRIPT: Transcript = {
  files: (id) => `*/*/*/rollout-*-${id}.jsonl`,
  said: (line) =>
    userMessage.check(line)
      ? { messages: [{ text: textOf(line.payload.content), timestamp: line.timestamp }] }
      : null,
  limits: limitsIn,
};
