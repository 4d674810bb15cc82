/** The lines of `--output-format stream-json` we use, as of claude 2.1.329; only the fields we read. */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { type Cut, isCut } from '../../protocol/cli.ts';
import { ApiUsage, maybe } from './api-usage.ts';
import { ResultLine, readResultLine } from './result-line.ts';

const parent = { parent_tool_use_id: maybe(Type.String()) };

const InitLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Literal('init'),
  session_id: Type.String(),
  model: maybe(Type.String()),
  apiKeySource: maybe(Type.String()),
  mcp_servers: Type.Optional(Type.Unknown()),
});

/** What the CLI tells its user, here: that a hook kept the prompt from the model. */
const InformationalLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Literal('informational'),
  content: Type.String(),
  prompt_submit_outcome: Type.Object({ kind: maybe(Type.String()) }),
});

const WritesLostLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Literal('session_writes_lost'),
  error_code: maybe(Type.String()),
  lost: maybe(Type.Array(Type.String())),
});

const ApiRetryLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Literal('api_retry'),
  attempt: Type.Number(),
  max_retries: maybe(Type.Number()),
  retry_delay_ms: maybe(Type.Number()),
  error_status: maybe(Type.Number()),
  error: maybe(Type.String()),
});

const PermissionDeniedLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Literal('permission_denied'),
  tool_name: Type.String(),
  message: maybe(Type.String()),
});

const BackgroundTasksLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Literal('background_tasks_changed'),
  tasks: Type.Array(Type.Unknown()),
});

const TaskStartedLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Literal('task_started'),
  task_id: Type.String(),
  tool_use_id: Type.String(),
});

const TaskEndedLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Literal('task_notification'),
  tool_use_id: maybe(Type.String()),
});

/** What has become of a message that was sent with a `uuid`, or of a wake-up's. */
const LifecycleLine = Type.Object({
  type: Type.Literal('command_lifecycle'),
  command_uuid: Type.String(),
  state: Type.String(),
  wakeup_source: Type.Optional(Type.Unknown()),
});

/** The answer to the opening. */
const ControlResponseLine = Type.Object({ type: Type.Literal('control_response') });

/** Signs of life that carry nothing a reader needs. */
const QuietLine = Type.Object({
  type: Type.Literal('system'),
  subtype: Type.Enum(['status', 'thinking_tokens']),
});

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
});

const UserLine = Type.Object({
  type: Type.Literal('user'),
  message: Type.Object({ content: Type.Union([Type.String(), Message.properties.content]) }),
  ...parent,
  /** What the CLI itself knows of the one tool result in it. */
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
  }),
});

const ClaudeLine = Type.Union([
  StreamEventLine,
  AssistantLine,
  UserLine,
  QuietLine,
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
  ResultLine,
]);
export type ClaudeLine = Static<typeof ClaudeLine>;

const checker = Compile(ClaudeLine);

/** The line as one we know, else null. stdout may carry lines that are not JSON. */
export function parseClaudeLine(line: string, cut: Cut | null = null): ClaudeLine | null {
  if (!line.startsWith('{')) return null;
  try {
    const value: unknown = JSON.parse(line);
    const known = checker.Check(value) ? value : readResultLine(value);
    // Half of an answer of a given form is none.
    const isHalf = known?.type === 'result' && isCut(cut, 'structured_output');
    return isHalf ? { ...known, structured_output: null } : known;
  } catch {
    return null; // not JSON: the caller passes it on as raw
  }
}
