/**
 * The control protocol of claude: approvals, questions and plans, messages into the running turn,
 * interrupts. Observed with 2.1.329; docs/providers.md has the mechanism.
 *
 * A hook inside the protocol sees each call before the CLI's rules. It decides nothing, unless the
 * call is known: then its decision is here or on its way. What the rules do not decide comes as
 * `can_use_tool`. Only the hook can put off a call until a later process (`defer`).
 */
import { type WireError, wireError } from '../../errors.ts';
import type { Decision } from '../../protocol/approval.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import { asPlainText } from '../built-in.ts';
import type { Ask, Control, ControlContext, ControlStep, KnownCall } from '../control.ts';
import { isSameJson, jsonText } from '../json.ts';
import { HELLO_ID } from './command.ts';
import { type ControlLine, parseControlLine, questionsIn, type ToolCall } from './control-lines.ts';

/**
 * What the model reads at a call that waits for a person. The verdict knows such denials by the
 * first sentence.
 */
export const PARKED = 'This call waits for the approval of a person.';
const MAKE_AGAIN = `${PARKED} Make exactly the same call again now, before anything else.`;
const DO_NOT_REPEAT = `${PARKED} Do not make it again now. Finish what you can do without it, and end your turn.`;
const NOT_ALLOWED = 'This call is not allowed, and no person can be asked. Do not try it again.';
const NOT_SHOWN = 'The call is too long or too deep to be shown to a person, so it is not allowed.';

/** Tools that ask a person by themselves, in every permission mode. */
const INTERACTIVE: readonly string[] = ['AskUserQuestion', 'ExitPlanMode'];

/** A request of the CLI that waits for its answer. */
interface Waiting {
  readonly call: ToolCall;
  readonly approvalId: string | null;
}

export function createClaudeControl(request: ResolvedPrompt, context: ControlContext): Control {
  const asksPerson = request.onPermissionDenied === 'ask';
  let known: readonly KnownCall[] = context.known;
  /** By the id of the request. */
  const waiting = new Map<string, Waiting>();
  /** What the hook has answered. The CLI may ask about the call once more, for its own rules. */
  const answered = new Map<string, Decision>();
  /** Messages that the CLI has not taken yet. */
  const queued = new Set<string>();
  /** Rules of the session that the process was not started with. */
  let laterRules = context.resumesCall === true ? (context.sessionRules ?? []) : [];
  let turn: 'runs' | 'deferred' | 'interrupted' | 'over' = 'runs';
  /** Whether the CLI has begun to work, before it was greeted: on the call that it resumes. */
  let hasBegun = false;
  let interrupts = 0;

  /** The known approval that no other request waits for. */
  function knownFor({ callId, tool, input }: ToolCall): KnownCall | null {
    const open = new Set([...waiting.values()].map(({ approvalId }) => approvalId));
    const free = known.filter(({ approvalId }) => !open.has(approvalId));
    const same = (one: KnownCall): boolean =>
      one.over !== true && one.tool === tool && isSameJson(one.input, input);
    return free.find((one) => one.callId === callId) ?? free.find(same) ?? null;
  }

  function ask(requestId: string, call: ToolCall, approvalId: string | null): ControlStep {
    waiting.set(requestId, { call, approvalId });
    return { ...NOTHING, asks: [askOf(call, approvalId)] };
  }

  function onHook(requestId: string, call: ToolCall | null): ControlStep {
    if (call === null) return write(answer(requestId, {}));
    const found = knownFor(call);
    if (found !== null) return ask(requestId, call, found.approvalId);
    // The hook can put it off at once; later the model would have to repeat the call.
    const asksNow = asksPerson && INTERACTIVE.includes(call.tool) && !call.inSubagent;
    return asksNow && isShowable(call) ? ask(requestId, call, null) : write(answer(requestId, {}));
  }

  function onPermission(requestId: string, call: ToolCall | null): ControlStep {
    if (call === null) return write(answer(requestId, denial(asksPerson ? NOT_SHOWN : NOT_ALLOWED)));
    const decision = answered.get(call.callId);
    if (decision !== undefined) {
      answered.delete(call.callId);
      return write(answer(requestId, permissionAnswer(call, decision)));
    }
    const why = !asksPerson ? NOT_ALLOWED : isShowable(call) ? null : NOT_SHOWN;
    if (why !== null) return write(answer(requestId, denial(why)));
    return ask(requestId, call, knownFor(call)?.approvalId ?? null);
  }

  function onLine(line: ControlLine): ControlStep {
    switch (line.kind) {
      case 'hook':
        return onHook(line.requestId, line.call);
      case 'permission':
        return onPermission(line.requestId, line.call);
      case 'unknown':
        return write(refusal(line.requestId, line.why));
      case 'withdrawn': {
        const call = waiting.get(line.requestId)?.call;
        waiting.delete(line.requestId);
        return call === undefined ? NOTHING : { ...NOTHING, withdrawn: [call.callId] };
      }
      case 'response':
        return onResponse(line.requestId, line.error);
      case 'message':
        return onMessage(line.id, line.state);
      case 'result':
        if (turn === 'runs') turn = line.isDeferred ? 'deferred' : 'over';
        return NOTHING;
    }
  }

  function onResponse(requestId: string, error: string | null): ControlStep {
    if (requestId === HELLO_ID && error !== null) {
      return broken(wireError('execution.crashed', `claude refused its options: ${error}`));
    }
    if (context.resumesCall !== true || hasBegun) return NOTHING;
    // It begins before it greets. One more answer shows that this is not a matter of order.
    if (requestId === HELLO_ID) return write(requestLine(PROBE_ID, { subtype: 'get_session_cost' }));
    if (requestId !== PROBE_ID) return NOTHING;
    return broken(wireError('execution.lost', 'the call that waited is no longer in the session of claude'));
  }

  function onMessage(id: string, state: string): ControlStep {
    if (state === 'started') {
      hasBegun = true;
      if (turn === 'over') turn = 'runs';
    }
    if (state === 'queued' || !queued.delete(id)) return NOTHING;
    return state === 'cancelled' ? NOTHING : { ...NOTHING, taken: [id] };
  }

  /** The requests about a call, of which there may be more than one. Takes them out. */
  function takeWaiting(callId: string): readonly (readonly [requestId: string, Waiting])[] {
    const found = [...waiting].filter(([, { call }]) => call.callId === callId);
    for (const [requestId] of found) waiting.delete(requestId);
    return found;
  }

  function decideOne(requestId: string, { call, approvalId }: Waiting, decided: Decision): string {
    const decision = withRules(decided, laterRules);
    if (decision.decision === 'allow') laterRules = [];
    known = known.filter((one) => one.approvalId !== approvalId);
    if (call.by === 'permission') return answer(requestId, permissionAnswer(call, decision));
    if (decision.decision === 'deny') return answer(requestId, hookAnswer('deny', decision.message));
    answered.set(call.callId, decision);
    // The hook cannot add rules: the CLI asks once more, and gets them then.
    const adds = asksPerson && decision.rules.length > 0;
    return answer(requestId, hookAnswer(adds ? 'ask' : 'allow', null, inputOf(call, decision.input)));
  }

  function parkOne(requestId: string, { call, approvalId }: Waiting, id: string): string {
    known = [...known.filter((one) => one.approvalId !== id), { ...call, approvalId: id }];
    if (call.inSubagent || (call.by === 'permission' && approvalId !== null)) {
      return deny(requestId, call, DO_NOT_REPEAT);
    }
    // Only one call of a message can be put off, and none when a further turn follows in this
    // process: the CLI loses the others without a word.
    if (call.by === 'permission' || turn !== 'runs' || queued.size > 0) {
      return deny(requestId, call, MAKE_AGAIN);
    }
    turn = 'deferred';
    return answer(requestId, hookAnswer('defer'));
  }

  return {
    line(text, cut = null) {
      const line = parseControlLine(text, cut);
      return line === null ? NOTHING : onLine(line);
    },
    interrupt() {
      turn = 'interrupted';
      interrupts += 1;
      return requestLine(`interrupt-${interrupts}`, { subtype: 'interrupt', cancel_queued: true });
    },
    steer({ id, text }) {
      if (turn !== 'runs') return null;
      queued.add(id);
      return messageLine(id, text);
    },
    decide: (callId, decision) =>
      takeWaiting(callId)
        .map(([requestId, one]) => decideOne(requestId, one, decision))
        .join(''),
    park(callId, approvalId) {
      const before = turn;
      const texts = takeWaiting(callId).map(([requestId, one]) => parkOne(requestId, one, approvalId));
      const isDeferred = before === 'runs' && turn === 'deferred';
      return { write: texts.join(''), waits: isDeferred ? 'deferred' : 'granted' };
    },
  };
}

const PROBE_ID = 'begun';

const NOTHING: ControlStep = { write: '', asks: [], withdrawn: [], taken: [], problem: null };
const write = (text: string): ControlStep => ({ ...NOTHING, write: text });
const broken = (problem: WireError): ControlStep => ({ ...NOTHING, problem });

function askOf(call: ToolCall, approvalId: string | null): Ask {
  const { callId, tool, input } = call;
  const questions = tool === 'AskUserQuestion' ? questionsIn(input) : null;
  const kind = questions !== null ? 'question' : tool === 'ExitPlanMode' ? 'plan' : 'tool';
  return { callId, kind, tool, input, questions, approvalId };
}

const isShowable = ({ input }: ToolCall): boolean => jsonText(input) !== null;

const line = (value: unknown): string => `${jsonText(value) ?? '{}'}\n`;

const requestLine = (id: string, request: unknown): string =>
  line({ type: 'control_request', request_id: id, request });

const answer = (requestId: string, response: unknown): string =>
  line({ type: 'control_response', response: { subtype: 'success', request_id: requestId, response } });

const refusal = (requestId: string, error: string): string =>
  line({ type: 'control_response', response: { subtype: 'error', request_id: requestId, error } });

const denial = (message: string): unknown => ({ behavior: 'deny', message });

function hookAnswer(
  permissionDecision: 'allow' | 'ask' | 'deny' | 'defer',
  why: string | null = null,
  updatedInput: unknown = undefined,
): unknown {
  const reason = why === null ? {} : { permissionDecisionReason: why };
  return {
    hookSpecificOutput: { hookEventName: 'PreToolUse', permissionDecision, ...reason, updatedInput },
  };
}

const withRules = (decision: Decision, rules: readonly string[]): Decision =>
  decision.decision === 'deny' || rules.length === 0
    ? decision
    : { ...decision, rules: [...new Set([...rules, ...decision.rules])] };

const deny = (requestId: string, { by }: ToolCall, message: string): string =>
  answer(requestId, by === 'hook' ? hookAnswer('deny', message) : denial(message));

function permissionAnswer(call: ToolCall, decision: Decision): unknown {
  if (decision.decision === 'deny') return denial(decision.message);
  const { rules } = decision;
  return {
    behavior: 'allow',
    updatedInput: inputOf(call, decision.input),
    ...(rules.length > 0 && {
      updatedPermissions: [
        { type: 'addRules', rules: rules.map(ruleOf), behavior: 'allow', destination: 'session' },
      ],
    }),
  };
}

/** `Bash(git *)` as the CLI's parts. */
function ruleOf(rule: string): { readonly toolName: string; readonly ruleContent?: string } {
  const [, toolName = rule, ruleContent] = /^([^(]*)\((.*)\)$/s.exec(rule) ?? [];
  return ruleContent === undefined ? { toolName } : { toolName, ruleContent };
}

/** The input that runs: it is an object in any case. */
function inputOf(call: ToolCall, decided: unknown): unknown {
  if (typeof decided !== 'object' || decided === null || Array.isArray(decided)) return call.input;
  if (call.tool !== 'AskUserQuestion' || !('answers' in decided)) return decided;
  const { answers } = decided;
  if (typeof answers !== 'object' || answers === null) return decided;
  // The CLI joins several answers to a question in more than one way.
  const texts = Object.entries(answers).map(([question, given]) => [
    question,
    Array.isArray(given) ? given.join(', ') : given,
  ]);
  return { ...decided, answers: Object.fromEntries(texts) };
}

/**
 * A message into the running turn. `@file` would read the file without asking for any permission;
 * the CLI looks for it only in the last part of a message.
 */
function messageLine(uuid: string, text: string): string {
  const plain = asPlainText(text);
  const content = plain.includes('@')
    ? [
        { type: 'text', text: plain },
        { type: 'text', text: '(end of the message)' },
      ]
    : plain;
  return line({ type: 'user', uuid, message: { role: 'user', content } });
}
