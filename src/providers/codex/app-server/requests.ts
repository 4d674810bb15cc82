/**
 * What `codex app-server` asks of its client, each with its answers. As of codex 0.169.0.
 */
import { Type } from '#typebox';
import type { ApprovalKind, Question } from '../../../protocol/approval.ts';
import { createChecker } from '../../../protocol/checker.ts';
import { nullable } from '../../../protocol/schema.ts';

/** A request that a person decides. */
export interface Wish {
  readonly callId: string;
  readonly kind: ApprovalKind;
  readonly tool: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly questions: readonly Question[] | null;
  /** The part of the input that is the same when the model makes the call again. */
  readonly same: unknown;
  /** Of a shell: the command line, for rules. */
  readonly command: string | null;
  /** The result for an allowed call. @param input as it was decided */
  allowed(input: unknown): unknown;
  /** The result for a denied one. The turn goes on. */
  readonly denied: unknown;
  /** The result that also ends the turn; null: there is none. */
  readonly cancelled: unknown;
}

const maybeText = Type.Optional(nullable(Type.String()));
const DECISIONS = { denied: { decision: 'decline' }, cancelled: { decision: 'cancel' } };
const accept = (): unknown => ({ decision: 'accept' });

const commandParams = createChecker(
  Type.Object({
    itemId: Type.String(),
    approvalId: maybeText,
    command: maybeText,
    cwd: maybeText,
    reason: maybeText,
    networkApprovalContext: Type.Optional(Type.Unknown()),
  }),
);

const fileParams = createChecker(
  Type.Object({ itemId: Type.String(), reason: maybeText, grantRoot: maybeText }),
);

const permissionParams = createChecker(
  Type.Object({
    itemId: Type.String(),
    reason: maybeText,
    permissions: Type.Record(Type.String(), Type.Unknown()),
  }),
);

const questionParams = createChecker(
  Type.Object({
    itemId: Type.String(),
    questions: Type.Array(
      Type.Object({
        id: Type.String(),
        question: Type.String(),
        header: maybeText,
        options: Type.Optional(
          nullable(Type.Array(Type.Object({ label: Type.String(), description: maybeText }))),
        ),
      }),
      { minItems: 1 },
    ),
  }),
);

/** A form without fields: only yes or no. */
const formParams = createChecker(
  Type.Object({
    serverName: Type.String(),
    message: Type.String(),
    requestedSchema: Type.Object({ properties: Type.Object({}, { additionalProperties: false }) }),
  }),
);

/** The answers of a person, by the text of the question. */
const answers = createChecker(
  Type.Object({
    answers: Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())])),
  }),
);

const COMMAND = 'item/commandExecution/requestApproval';
const FILE_CHANGE = 'item/fileChange/requestApproval';
const PERMISSIONS = 'item/permissions/requestApproval';
const USER_INPUT = 'item/tool/requestUserInput';
const ELICITATION = 'mcpServer/elicitation/request';

const NO_FORM = { action: 'decline', content: null, _meta: null };
const NO_PERMISSIONS = { permissions: {}, scope: 'turn' };
const NO_ANSWERS = { answers: {} };

/** How a request is refused that no person can decide, by its method. */
export const REFUSALS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  [COMMAND, DECISIONS.denied],
  [FILE_CHANGE, DECISIONS.denied],
  [PERMISSIONS, NO_PERMISSIONS],
  [USER_INPUT, NO_ANSWERS],
  [ELICITATION, NO_FORM],
]);

/**
 * Reads a request; null: it is none that a person can decide.
 * @param changesOf the changes of files that an item was started with; null: not known
 */
export function wishOf(
  method: string,
  params: unknown,
  changesOf: (itemId: string) => readonly unknown[] | null,
): Wish | null {
  switch (method) {
    case COMMAND: {
      if (!commandParams.check(params)) return null;
      const { itemId, approvalId, cwd = null, reason = null, networkApprovalContext = null } = params;
      const command = plainCommand(params.command ?? '');
      const network = networkApprovalContext === null ? {} : { networkApprovalContext };
      return {
        callId: approvalId ?? itemId,
        kind: 'tool',
        tool: 'shell',
        input: { command, cwd, reason, ...network },
        questions: null,
        same: { command, cwd, ...network },
        command,
        allowed: accept,
        ...DECISIONS,
      };
    }
    case FILE_CHANGE: {
      if (!fileParams.check(params)) return null;
      const { itemId, reason = null, grantRoot = null } = params;
      const changes = changesOf(itemId);
      if (changes === null) return null;
      const same = { changes, grantRoot };
      const input = { changes, grantRoot, reason };
      return { ...toolWish(itemId, 'file_change', input, same), allowed: accept, ...DECISIONS };
    }
    case PERMISSIONS: {
      if (!permissionParams.check(params)) return null;
      const { itemId, permissions, reason = null } = params;
      const input = { permissions, reason };
      return {
        ...toolWish(itemId, 'request_permissions', input, { permissions }),
        allowed: () => ({ permissions, scope: 'turn' }),
        denied: NO_PERMISSIONS,
        cancelled: null,
      };
    }
    case ELICITATION: {
      if (!formParams.check(params)) return null;
      const { serverName, message } = params;
      const input = { message };
      return {
        ...toolWish(serverName, `mcp__${serverName}`, input, input),
        allowed: () => ({ action: 'accept', content: {}, _meta: null }),
        denied: NO_FORM,
        cancelled: null,
      };
    }
    case USER_INPUT:
      return questionWish(params);
    default:
      return null;
  }
}

const toolWish = (callId: string, tool: string, input: Wish['input'], same: unknown) =>
  ({ callId, kind: 'tool', tool, input, questions: null, same, command: null }) as const;

function questionWish(params: unknown): Wish | null {
  if (!questionParams.check(params)) return null;
  const questions = params.questions.map(({ question, header = null, options }) => ({
    question,
    header,
    options: (options ?? []).map(({ label, description = null }) => ({ label, description })),
    multiSelect: false,
  }));
  const allowed = (input: unknown): unknown => {
    const given = answers.check(input) ? input.answers : {};
    const entries = params.questions.map(({ id, question }) => {
      const one = given[question] ?? [];
      return [id, { answers: typeof one === 'string' ? [one] : one }] as const;
    });
    return { answers: Object.fromEntries(entries) };
  };
  return {
    callId: params.itemId,
    kind: 'question',
    tool: 'request_user_input',
    input: { questions },
    questions,
    same: { questions },
    command: null,
    allowed,
    denied: NO_ANSWERS,
    cancelled: null,
  };
}

const SHELL = /^(?:\S*\/)?(?:ba|z|da)?sh -l?c (.+)$/s;

/** The command line inside `/bin/bash -lc '…'`, as the model wrote it; else all of it. */
function plainCommand(command: string): string {
  const quoted = SHELL.exec(command)?.[1];
  return (quoted === undefined ? null : oneWord(quoted)) ?? command;
}

/** What a shell reads as one word; null: it is not one, or a shell would change it. */
function oneWord(quoted: string): string | null {
  const parts = quoted.match(/'[^']*'|"(?:[^"\\$`]|\\["\\$`])*"|\\.|[^\s'"\\$`;&|<>()*?[\]#~!{}]+/gs);
  if (parts === null || parts.join('') !== quoted) return null;
  return parts
    .map((part) => {
      if (part.startsWith("'")) return part.slice(1, -1);
      if (part.startsWith('"')) return part.slice(1, -1).replace(/\\(.)/gs, '$1');
      return part.startsWith('\\') ? part.slice(1) : part;
    })
    .join('');
}
