/** The lines of claude's control protocol that we use, as of 2.1.329; only the fields we read. */
import { type Static, Type } from '#typebox';
import type { Question } from '../../protocol/approval.ts';
import { createChecker } from '../../protocol/checker.ts';
import { type Cut, isCut } from '../../protocol/cli.ts';
import { parseJsonLine } from '../json.ts';
import { maybe } from './lines.ts';

/** A call of a tool that the CLI asks about. */
export interface ToolCall {
  readonly by: 'hook' | 'permission';
  readonly callId: string;
  readonly tool: string;
  readonly input: unknown;
  readonly inSubagent: boolean;
}

export type ControlLine =
  /** Null: it is about no call, or not all of the call is here. */
  | {
      readonly kind: 'hook' | 'permission';
      readonly requestId: string;
      readonly call: ToolCall | null;
    }
  /** A request that cannot be honoured, with the reason. */
  | { readonly kind: 'unknown'; readonly requestId: string; readonly why: string }
  | { readonly kind: 'withdrawn'; readonly requestId: string }
  | { readonly kind: 'response'; readonly requestId: string; readonly error: string | null }
  /** What became of a message. */
  | { readonly kind: 'message'; readonly id: string; readonly state: string }
  /** The end of a turn. */
  | { readonly kind: 'result'; readonly isDeferred: boolean };

const requestLine = createChecker(
  Type.Object({
    type: Type.Literal('control_request'),
    request_id: Type.String(),
    request: Type.Optional(Type.Unknown()),
  }),
);
const subtype = createChecker(Type.Object({ subtype: Type.String() }));

const HookInput = Type.Object({
  hook_event_name: Type.Literal('PreToolUse'),
  tool_name: Type.String(),
  tool_input: Type.Unknown(),
  tool_use_id: Type.String(),
  agent_id: maybe(Type.String()),
});
const hookCall = createChecker(Type.Object({ input: HookInput }));

const Permission = Type.Object({
  tool_name: Type.String(),
  input: Type.Unknown(),
  tool_use_id: Type.String(),
  agent_id: maybe(Type.String()),
});
const permission = createChecker(Permission);

const cancelLine = createChecker(
  Type.Object({ type: Type.Literal('control_cancel_request'), request_id: Type.String() }),
);

const responseLine = createChecker(
  Type.Object({
    type: Type.Literal('control_response'),
    response: Type.Object({
      subtype: Type.String(),
      request_id: Type.String(),
      error: maybe(Type.String()),
    }),
  }),
);

const lifecycleLine = createChecker(
  Type.Object({
    type: Type.Literal('command_lifecycle'),
    command_uuid: Type.String(),
    state: Type.String(),
  }),
);

const resultLine = createChecker(
  Type.Object({
    type: Type.Literal('result'),
    parent_tool_use_id: maybe(Type.String()),
    deferred_tool_use: Type.Optional(Type.Unknown()),
  }),
);

/** No other line needs to be parsed once more. A quote inside a text is escaped. */
const CANDIDATE = /"(control_request|control_cancel_request|control_response|command_lifecycle|result)"/;

/** The line if it is one of the protocol; null for all others. */
export function parseControlLine(text: string, cut: Cut | null): ControlLine | null {
  if (!CANDIDATE.test(text)) return null;
  const value = parseJsonLine(text);
  if (requestLine.check(value)) {
    const { request_id: requestId, request } = value;
    return readRequest(requestId, request, isCut(cut, 'request'));
  }
  if (cancelLine.check(value)) return { kind: 'withdrawn', requestId: value.request_id };
  if (responseLine.check(value)) {
    const { subtype: how, request_id: requestId, error } = value.response;
    return { kind: 'response', requestId, error: how === 'error' ? (error ?? 'no reason given') : null };
  }
  if (lifecycleLine.check(value)) return { kind: 'message', id: value.command_uuid, state: value.state };
  if (!resultLine.check(value) || value.parent_tool_use_id) return null;
  return { kind: 'result', isDeferred: (value.deferred_tool_use ?? null) !== null };
}

function readRequest(requestId: string, request: unknown, isShort: boolean): ControlLine {
  const kind = subtype.check(request) ? request.subtype : 'none';
  if (kind === 'hook_callback') {
    const whole = !isShort && hookCall.check(request);
    return { kind: 'hook', requestId, call: whole ? callOf('hook', hookFields(request.input)) : null };
  }
  if (kind === 'can_use_tool') {
    const whole = !isShort && permission.check(request);
    return { kind: 'permission', requestId, call: whole ? callOf('permission', request) : null };
  }
  return { kind: 'unknown', requestId, why: `this host does not answer the request ${kind}` };
}

const hookFields = (found: Static<typeof HookInput>): Static<typeof Permission> => ({
  ...found,
  input: found.tool_input,
});

const callOf = (by: ToolCall['by'], found: Static<typeof Permission>): ToolCall => ({
  by,
  callId: found.tool_use_id,
  tool: found.tool_name,
  input: found.input,
  inSubagent: Boolean(found.agent_id),
});

const questions = createChecker(
  Type.Object({
    questions: Type.Array(
      Type.Object({
        question: Type.String(),
        header: maybe(Type.String()),
        options: maybe(Type.Array(Type.Object({ label: Type.String(), description: maybe(Type.String()) }))),
        multiSelect: maybe(Type.Boolean()),
      }),
      { minItems: 1 },
    ),
  }),
);

/** The questions in an input of `AskUserQuestion`; null when it has another form. */
export function questionsIn(input: unknown): readonly Question[] | null {
  if (!questions.check(input)) return null;
  return input.questions.map(({ question, header = null, options, multiSelect }) => ({
    question,
    header,
    options: (options ?? []).map(({ label, description = null }) => ({ label, description })),
    multiSelect: multiSelect ?? false,
  }));
}
