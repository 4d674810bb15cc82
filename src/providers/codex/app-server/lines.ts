/** The parts of the messages of `codex app-server` that we read, as of codex 0.169.0. */
import { type Static, Type } from '#typebox';
import { createChecker } from '../../../protocol/checker.ts';
import { nullable } from '../../../protocol/schema.ts';

const maybeText = Type.Optional(nullable(Type.String()));

const item = { id: Type.String() };
const Item = Type.Union([
  Type.Object({ ...item, type: Type.Literal('userMessage'), clientId: maybeText }),
  Type.Object({ ...item, type: Type.Literal('agentMessage'), text: Type.String() }),
  Type.Object({ ...item, type: Type.Literal('plan'), text: Type.String() }),
  Type.Object({ ...item, type: Type.Literal('reasoning'), summary: Type.Array(Type.String()) }),
  Type.Object({
    ...item,
    type: Type.Literal('commandExecution'),
    command: Type.String(),
    aggregatedOutput: maybeText,
    status: Type.String(),
  }),
  Type.Object({
    ...item,
    type: Type.Literal('fileChange'),
    changes: Type.Array(Type.Unknown()),
    status: Type.String(),
  }),
  Type.Object({
    ...item,
    type: Type.Literal('mcpToolCall'),
    server: Type.String(),
    tool: Type.String(),
    arguments: Type.Optional(Type.Unknown()),
    status: Type.String(),
  }),
  Type.Object({ ...item, type: Type.Literal('webSearch'), query: Type.String() }),
]);
export type AppItem = Static<typeof Item>;

export const itemNotice = createChecker(Type.Object({ threadId: Type.String(), item: Item }));

export const deltaNotice = createChecker(
  Type.Object({ threadId: Type.String(), itemId: Type.String(), delta: Type.String() }),
);

const TurnError = Type.Object({
  message: Type.String(),
  codexErrorInfo: Type.Optional(Type.Unknown()),
  additionalDetails: maybeText,
});
export type TurnError = Static<typeof TurnError>;

export const turnNotice = createChecker(
  Type.Object({
    threadId: Type.String(),
    turn: Type.Object({
      id: Type.String(),
      status: Type.String(),
      error: Type.Optional(nullable(TurnError)),
    }),
  }),
);

export const errorNotice = createChecker(
  Type.Object({ threadId: Type.String(), willRetry: Type.Boolean(), error: TurnError }),
);

export const warningNotice = createChecker(
  Type.Object({ threadId: Type.Optional(nullable(Type.String())), message: Type.String() }),
);

const Tokens = Type.Number({ minimum: 0 });
const Counts = Type.Object({
  inputTokens: Tokens,
  cachedInputTokens: Type.Optional(Tokens),
  cacheWriteInputTokens: Type.Optional(Tokens),
  outputTokens: Tokens,
});
export type AppTokens = Static<typeof Counts>;

/** `total`: of the whole thread; `last`: of the last request to the model. */
export const usageNotice = createChecker(
  Type.Object({
    threadId: Type.String(),
    turnId: Type.String(),
    tokenUsage: Type.Object({ total: Counts, last: Counts }),
  }),
);

/** `resetsAt`: seconds since 1970. */
const Window = Type.Object({ usedPercent: Tokens, resetsAt: Type.Optional(nullable(Type.Number())) });
const maybeWindow = Type.Optional(nullable(Window));
export const limitsNotice = createChecker(
  Type.Object({ rateLimits: Type.Object({ primary: maybeWindow, secondary: maybeWindow }) }),
);

/** The answer to the request that opens a thread. */
export const openedThread = createChecker(
  Type.Object({
    thread: Type.Object({ id: Type.String() }),
    model: maybeText,
    activePermissionProfile: Type.Optional(nullable(Type.Object({ id: Type.String() }))),
  }),
);

/** The HTTP status behind an error; null: none, or not known. */
export function statusOf({ codexErrorInfo }: TurnError): number | null {
  if (typeof codexErrorInfo !== 'object' || codexErrorInfo === null) return null;
  const [detail] = Object.values(codexErrorInfo);
  return httpStatus.check(detail) ? detail.httpStatusCode : null;
}

const httpStatus = createChecker(Type.Object({ httpStatusCode: Type.Integer() }));
