/** Sessions: conversations with a CLI, as callers see them. */
import { type Static, Type } from '#typebox';
import { Outcome, Usage } from './outcome.ts';
import { MAX_PROMPT_BYTES, promptOptions } from './prompt.ts';
import { closed, nullable } from './schema.ts';
import { SESSION_STATUSES } from './session-states.ts';
import { TerminalSize, TerminalState } from './terminal.ts';

// biome-ignore lint/performance/noBarrelFile: workers load the states without the schemas
export {
  CHAT_TRANSITIONS,
  SESSION_STATUSES,
  SESSION_TRIGGERS,
  type SessionStatus,
  type SessionTrigger,
  TERMINAL_TRANSITIONS,
  TERMINAL_TRIGGERS,
  type TerminalTrigger,
} from './session-states.ts';

const status = Type.Enum(SESSION_STATUSES);

/** A session as callers see it. */
export const Session = Type.Object({
  id: Type.String({ description: 'ULID' }),
  kind: Type.Enum(['chat', 'terminal']),
  name: nullable(Type.String()),
  status,
  statusReason: nullable(Type.String({ description: 'code of the error that led to the status' })),
  matchedLine: nullable(Type.String({ description: 'of a terminal: the line that shows what it waits for' })),
  project: Type.String(),
  principal: Type.String({ description: 'who made it' }),
  provider: Type.String({ description: 'the CLI; of a terminal with a command: the name of that' }),
  model: nullable(Type.String()),
  cwd: Type.String(),
  nativeSessionId: nullable(Type.String({ description: "the CLI's own id; null: it has not begun" })),
  node: nullable(Type.String({ description: 'the server that has the session' })),
  process: nullable(Type.Object({ pid: Type.Integer(), since: Type.String() }), {
    description: 'its live process on the server that answers; null: none there',
  }),
  terminal: nullable(TerminalState, { description: 'null: it is a chat' }),
  turns: Type.Integer({ description: 'prompts so far' }),
  usage: nullable(Usage, { description: 'of all its turns' }),
  forkedFrom: nullable(Type.String({ description: 'id of the session that it went on from' })),
  createdAt: Type.String(),
  lastActivityAt: Type.String(),
  closedAt: nullable(Type.String()),
  tags: Type.Array(Type.String()),
  metadata: Type.Record(Type.String(), Type.String()),
  links: Type.Object({ self: Type.String(), events: Type.String(), turns: Type.String() }),
});
export type Session = Static<typeof Session>;

export const sessionLinks = (id: string) => ({
  self: `/v1/sessions/${id}`,
  events: `/v1/sessions/${id}/events`,
  turns: `/v1/sessions/${id}/turns`,
});

const options = promptOptions;
const name = Type.Optional(
  Type.String({ pattern: '^[^\\u0000-\\u001f]{1,128}$', description: 'for people' }),
);
const text = Type.String({ minLength: 1, maxLength: MAX_PROMPT_BYTES, pattern: '^[^\\u0000]*$' });

/** Body of `POST /v1/sessions`. Its options hold for every turn. */
export const SessionRequest = Type.Object(
  {
    kind: Type.Optional(
      Type.Enum(['chat', 'terminal'], {
        description: 'chat: prompts and answers; terminal: the CLI, or a command, on a PTY; default: chat',
      }),
    ),
    command: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: 'of a terminal: one of `terminals.commands` in the settings, instead of a provider',
      }),
    ),
    cols: Type.Optional({ ...TerminalSize.properties.cols, description: 'of a terminal; default: 80' }),
    rows: Type.Optional({ ...TerminalSize.properties.rows, description: 'of a terminal; default: 24' }),
    provider: options.provider,
    model: options.model,
    effort: options.effort,
    cwd: options.cwd,
    permissionMode: options.permissionMode,
    allowedTools: options.allowedTools,
    disallowedTools: options.disallowedTools,
    onPermissionDenied: options.onPermissionDenied,
    appendSystemPrompt: options.appendSystemPrompt,
    name,
    tags: options.tags,
    metadata: options.metadata,
    prompt: Type.Optional(text),
  },
  { ...closed, examples: [{ provider: 'claude', cwd: '/srv/app', prompt: 'What does this do?' }] },
);
export type SessionRequest = Static<typeof SessionRequest>;

export const Delivery = Type.Enum(['next', 'steer', 'interrupt'], {
  description:
    'next: the next turn; steer: into the running turn; interrupt: stop the running turn, then the next; default: next',
});
export type Delivery = Static<typeof Delivery>;

/** Body of `POST /v1/sessions/:id/messages` and `POST /v1/jobs/:id/messages`. */
export const MessageRequest = Type.Object(
  { prompt: text, delivery: Type.Optional(Delivery) },
  { ...closed, examples: [{ prompt: 'Now add a test' }, { prompt: 'Use tabs', delivery: 'steer' }] },
);
export type MessageRequest = Static<typeof MessageRequest>;

/** Answer to a message with `delivery: steer`. `next`: it became the next turn, `jobId`. */
export const Steered = Type.Object({
  messageId: Type.String({ description: 'UUID' }),
  delivered: Type.Enum(['steered', 'next']),
  jobId: Type.String({ description: 'the job of the turn that has the message' }),
});
export type Steered = Static<typeof Steered>;

/** One prompt of a session and its answer. */
export const Turn = Type.Object({
  turn: Type.Integer({ description: 'from 1' }),
  jobId: Type.String(),
  prompt: Type.String(),
  status: Type.String({ description: 'of the job' }),
  outcome: nullable(Outcome),
  createdAt: Type.String(),
  startedAt: nullable(Type.String()),
  finishedAt: nullable(Type.String()),
});
export type Turn = Static<typeof Turn>;
