/**
 * The lines of `--output-format stream-json` that we use, as of claude 2.1.329; only the fields we
 * read.
 */
import { type Static, type TSchema, Type } from '#typebox';
import { createChecker } from '../../protocol/checker.ts';
import { type Cut, isCut } from '../../protocol/cli.ts';
import { nullable } from '../../protocol/schema.ts';
import { parseJsonLine } from '../json.ts';

/** A field the CLI may leave out or set to null. */
export const maybe = <T extends TSchema>(schema: T) => Type.Optional(nullable(schema));

const Tokens = Type.Number({ minimum: 0 });

/** Token counts of one API call or one turn. */
const ApiUsage = Type.Object({
  input_tokens: maybe(Tokens),
  output_tokens: maybe(Tokens),
  cache_read_input_tokens: maybe(Tokens),
  cache_creation_input_tokens: maybe(Tokens),
});
export type ApiUsage = Static<typeof ApiUsage>;

/** Tokens and cost of one model since the last `result` line of the process. */
const ModelUsage = Type.Object({
  inputTokens: Tokens,
  outputTokens: Tokens,
  cacheReadInputTokens: Tokens,
  cacheCreationInputTokens: Tokens,
  costUSD: maybe(Type.Number()),
});
export type ModelUsage = Static<typeof ModelUsage>;

/** Every `result` line has these fields. */
const core = {
  type: Type.Literal('result'),
  subtype: Type.String(),
  is_error: Type.Boolean(),
};

/** It may have these. */
const details = {
  result: maybe(Type.String()),
  session_id: maybe(Type.String()),
  parent_tool_use_id: maybe(Type.String()),
  errors: maybe(Type.Array(Type.String())),
  num_turns: maybe(Type.Number()),
  terminal_reason: maybe(Type.String()),
  api_error_status: maybe(Type.Number()),
  /** `usage_limit_reached`: a limit of the plan. */
  api_error: maybe(Type.String()),
  total_cost_usd: maybe(Type.Number()),
  usage: maybe(ApiUsage),
  model_usage_since_last_result: maybe(Type.Record(Type.String(), ModelUsage)),
  permission_denials: maybe(
    Type.Array(
      Type.Object({
        tool_name: Type.String(),
        tool_use_id: maybe(Type.String()),
        tool_input: Type.Optional(Type.Unknown()),
      }),
    ),
  ),
  structured_output: Type.Optional(Type.Unknown()),
  queued_turn_count: maybe(Type.Number()),
  /** Ids of the messages from stdin that this turn has answered. */
  user_message_uuid: maybe(Type.String()),
  user_message_uuids: maybe(Type.Array(Type.String())),
  /** Why the CLI began this turn; left out for a message from stdin. */
  origin: maybe(Type.Object({ kind: maybe(Type.String()) })),
  deferred_tool_use: maybe(Type.Object({ name: maybe(Type.String()) })),
};

/** The line that ends a turn; a process may write several. */
const ResultLine = Type.Object({ ...core, ...details });
export type ResultLine = Static<typeof ResultLine>;

const typeChecker = createChecker(Type.Object({ type: core.type }));
const checkers = new Map(Object.entries(details).map(([name, schema]) => [name, createChecker(schema)]));

/**
 * A `result` line without the fields whose form is unknown: a run must not fail because a newer
 * CLI changed a field. One of `subtype` and `is_error` is enough; the exit code counts in any
 * case.
 */
function readResultLine(value: unknown): ResultLine | null {
  if (!typeChecker.check(value)) return null;
  const found: Record<string, unknown> = { ...value };
  const subtype = typeof found['subtype'] === 'string' ? found['subtype'] : null;
  const isError = typeof found['is_error'] === 'boolean' ? found['is_error'] : null;
  if (subtype === null && isError === null) return null;
  const known = Object.entries(found).filter(([name, detail]) => checkers.get(name)?.check(detail));
  // `as`: every field was checked by its own schema.
  return Object.assign(
    {
      type: value.type,
      subtype: subtype ?? (isError ? 'error' : 'success'),
      is_error: isError ?? subtype?.startsWith('error'),
    },
    Object.fromEntries(known),
  ) as ResultLine;
}

const parent = { parent_tool_use_id: maybe(Type.String()) };
const system = <S extends string>(subtype: S) => ({
  type: Type.Literal('system'),
  subtype: Type.Literal(subtype),
});

const InitLine = Type.Object({
  ...system('init'),
  session_id: Type.String(),
  model: maybe(Type.String()),
  apiKeySource: maybe(Type.String()),
  mcp_servers: Type.Optional(Type.Unknown()),
});

/** A note to the user. With this field: a hook kept the prompt from the model. */
const InformationalLine = Type.Object({
  ...system('informational'),
  content: Type.String(),
  prompt_submit_outcome: Type.Object({ kind: maybe(Type.String()) }),
});

const WritesLostLine = Type.Object({
  ...system('session_writes_lost'),
  error_code: maybe(Type.String()),
  lost: maybe(Type.Array(Type.String())),
});

const ApiRetryLine = Type.Object({
  ...system('api_retry'),
  attempt: Type.Number(),
  max_retries: maybe(Type.Number()),
  retry_delay_ms: maybe(Type.Number()),
  error_status: maybe(Type.Number()),
  error: maybe(Type.String()),
});

const PermissionDeniedLine = Type.Object({
  ...system('permission_denied'),
  tool_name: Type.String(),
  message: maybe(Type.String()),
});

const BackgroundTasksLine = Type.Object({
  ...system('background_tasks_changed'),
  tasks: Type.Array(Type.Unknown()),
});

const TaskStartedLine = Type.Object({
  ...system('task_started'),
  task_id: Type.String(),
  tool_use_id: Type.String(),
});

const TaskEndedLine = Type.Object({
  ...system('task_notification'),
  tool_use_id: maybe(Type.String()),
});

/** The state of a message that was sent with a `uuid`, or of a wake-up's message. */
const LifecycleLine = Type.Object({
  type: Type.Literal('command_lifecycle'),
  command_uuid: Type.String(),
  state: Type.String(),
  wakeup_source: Type.Optional(Type.Unknown()),
});

/** An answer of the CLI, the one to the opening among them. */
const ControlResponseLine = Type.Object({ type: Type.Literal('control_response') });
/** What the CLI asks of its host: `Control` answers. */
const ControlRequestLine = Type.Object({
  type: Type.Enum(['control_request', 'control_cancel_request']),
});

/** Only a login of a plan has an account, not a key or a token (observed with 2.1.329). */
const account = createChecker(
  Type.Object({
    response: Type.Object({
      response: Type.Object({
        account: Type.Object({ email: Type.String({ minLength: 1 }), organization: maybe(Type.String()) }),
      }),
    }),
  }),
);

/** The account in the answer to the opening: a person may use one address in two organizations. */
export function accountIn(line: ClaudeLine): string | null {
  if (!account.check(line)) return null;
  const { email, organization = null } = line.response.response.account;
  return JSON.stringify([email, organization]);
}

/** Signs of life without content. */
const QuietLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Enum(['status', 'thinking_tokens']),
});
/** The same, and what the CLI saves about a call that it resumes. */
const AsideLine = Type.Object({ type: Type.Enum(['tool_progress', 'attachment']) });

const Message = Type.Object({
  id: maybe(Type.String()),
  model: maybe(Type.String()),
  usage: maybe(ApiUsage),
  content: Type.Array(Type.Object({ type: Type.String() })),
});

const AssistantLine = Type.Object({
  type: Type.Literal('assistant'),
  message: Message,
  ...parent,
  error: maybe(Type.String()),
  is_api_error_message: maybe(Type.Boolean()),
  api_error_status: maybe(Type.Number()),
  api_error: maybe(Type.String()),
});

const UserLine = Type.Object({
  type: Type.Literal('user'),
  message: Type.Object({ content: Type.Union([Type.String(), Message.properties.content]) }),
  ...parent,
  /** The CLI's own record of the one tool result in it. */
  tool_use_result: Type.Optional(Type.Unknown()),
});

const StreamEventLine = Type.Object({
  type: Type.Literal('stream_event'),
  ...parent,
  api_message_id: maybe(Type.String()),
  event: Type.Object({
    type: Type.String(),
    message: maybe(
      Type.Object({ id: maybe(Type.String()), model: maybe(Type.String()), usage: maybe(ApiUsage) }),
    ),
    delta: maybe(Type.Object({ type: maybe(Type.String()), text: maybe(Type.String()) })),
    usage: maybe(ApiUsage),
  }),
});

const RateLimitLine = Type.Object({
  type: Type.Literal('rate_limit_event'),
  rate_limit_info: Type.Object({
    status: Type.String(),
    resetsAt: maybe(Type.Number()),
    rateLimitType: maybe(Type.String()),
    utilization: maybe(Type.Number()),
    unifiedWindows: Type.Optional(Type.Unknown()),
  }),
});

/** All windows of a plan, by the names of their limits. */
const Windows = Type.Record(
  Type.String(),
  Type.Object({
    status: maybe(Type.String()),
    utilization: maybe(Type.Number()),
    resetsAt: maybe(Type.Number()),
  }),
);
const windows = createChecker(Windows);

/** The windows in a `rate_limit_event`; none when they have another form. */
export const windowsIn = (value: unknown): Static<typeof Windows> => (windows.check(value) ? value : {});

const ClaudeLine = Type.Union([
  StreamEventLine,
  AssistantLine,
  UserLine,
  QuietLine,
  AsideLine,
  InitLine,
  ApiRetryLine,
  PermissionDeniedLine,
  BackgroundTasksLine,
  TaskStartedLine,
  TaskEndedLine,
  InformationalLine,
  WritesLostLine,
  LifecycleLine,
  RateLimitLine,
  ControlResponseLine,
  ControlRequestLine,
  ResultLine,
]);
export type ClaudeLine = Static<typeof ClaudeLine>;

const checker = createChecker(ClaudeLine);

/** The line if it is a known one, else null. stdout may carry lines that are not JSON. */
export function parseClaudeLine(line: string, cut: Cut | null = null): ClaudeLine | null {
  const value = parseJsonLine(line);
  const known = checker.check(value) ? value : readResultLine(value);
  // Half of a structured answer is no answer.
  const isHalf = known?.type === 'result' && isCut(cut, 'structured_output');
  return isHalf ? { ...known, structured_output: null } : known;
}
