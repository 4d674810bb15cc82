import { type WireError, wireError } from '../../../errors.ts';
import type { Decision } from '../../../protocol/approval.ts';
import type { ResolvedPrompt } from '../../../protocol/prompt.ts';
import type { Ask, Control, ControlContext, ControlStep, KnownCall, ParkedCall } from '../../control.ts';
import { isSameJson, jsonText } from '../../json.ts';
import { PROFILE } from '../command.ts';
import { asks, startTurn, textInput } from './command.ts';
import { itemNotice, openedThread, turnNotice } from './lines.ts';
import { REFUSALS, type Wish, wishOf } from './requests.ts';
import {
  INTERRUPT,
  parseRpc,
  type RpcMessage,
  rpcAnswer,
  rpcError,
  rpcRequest,
  STEER,
  THREAD,
} from './rpc.ts';

type Request = Extract<RpcMessage, { kind: 'request' }>;
type Answer = Extract<RpcMessage, { kind: 'answer' }>;
type Notice = Extract<RpcMessage, { kind: 'notice' }>;

const NOTHING: ControlStep = { write: '', asks: [], withdrawn: [], taken: [], problem: null };

/** With one of these a command line may have a second command: no wildcard of a rule counts. */
const SECOND_COMMAND = /[;&|<>$`\n]/;

/** Speaks with `codex app-server` in one turn, which it starts when the thread is open. */
export function createAppServerControl(request: ResolvedPrompt, context: ControlContext): Control {
  const rules = [...(context.sessionRules ?? [])];
  /** Approvals without an answer that the CLI got, each for one call. No call is asked again. */
  const known: KnownCall[] = context.known.filter(({ over = false }) => !over);
  /** Calls that a person has allowed with another input, which the model has to make. */
  const granted: { readonly tool: string; readonly input: unknown }[] = [];
  const open = new Map<string, { readonly id: Request['id']; readonly wish: Wish }>();
  /** Changes of files by item, as far as the lines with them were whole. */
  const changes = new Map<string, readonly unknown[]>();
  const seen = new Set<string>();
  let messages = 0;
  let threadId: string | null = null;
  let turnId: string | null = null;
  /** The turn is being ended for calls that wait: the other asks are still wanted. */
  let parked = false;

  function onAnswer({ id, result, error }: Answer): ControlStep {
    if (typeof id !== 'string' || error !== null) return NOTHING;
    if (id.startsWith(STEER)) return { ...NOTHING, taken: [id.slice(STEER.length)] };
    if (id !== THREAD || !openedThread.check(result)) return NOTHING;
    const problem = wrongPermissions(result.activePermissionProfile?.id ?? null);
    if (problem !== null) return { ...NOTHING, problem };
    threadId = result.thread.id;
    return { ...NOTHING, write: startTurn(request, threadId, context.promptId) };
  }

  /** A thread keeps its permissions: a CLI that does not take those of the job must not go on. */
  function wrongPermissions(profile: string | null): WireError | null {
    if (request.permissionMode === 'fullAccess' || profile === PROFILE) return null;
    return wireError('execution.bad_output', 'codex did not take the permissions of this job');
  }

  function onNotice({ method, params }: Notice, isWhole: boolean): ControlStep {
    switch (method) {
      case 'turn/started':
        if (turnNotice.check(params) && params.threadId === threadId) turnId = params.turn.id;
        return NOTHING;
      case 'turn/completed': {
        if (!turnNotice.check(params) || params.threadId !== threadId) return NOTHING;
        turnId = null;
        return withdraw([...open.keys()]);
      }
      case 'item/started': {
        if (isWhole && itemNotice.check(params) && params.item.type === 'fileChange')
          changes.set(params.item.id, params.item.changes);
        return NOTHING;
      }
      case 'serverRequest/resolved': {
        const id = resolvedId(params);
        return withdraw([...open].filter(([, one]) => one.id === id).map(([callId]) => callId));
      }
      default:
        return NOTHING;
    }
  }

  function withdraw(callIds: readonly string[]): ControlStep {
    for (const callId of callIds) open.delete(callId);
    return parked ? NOTHING : { ...NOTHING, withdrawn: callIds };
  }

  function onRequest({ id, method, params }: Request, isWhole: boolean): ControlStep {
    const found = wishOf(method, params, (itemId) => changes.get(itemId) ?? null);
    if (found === null) return { ...NOTHING, write: refusal(id, method) };
    if (!asks(request) || !isWhole) return { ...NOTHING, write: rpcAnswer(id, found.denied) };
    const isGranted = takeFirst(granted, (one) => isCall(one, found)) !== null;
    if (isGranted || rules.some((rule) => ruleAllows(rule, found))) {
      return { ...NOTHING, write: rpcAnswer(id, found.allowed(found.input)) };
    }
    const { kind, tool, input, questions } = found;
    // A call that has failed in the sandbox is asked for again under the same id.
    const callId = seen.has(found.callId) ? `${found.callId}#${seen.size}` : found.callId;
    seen.add(callId);
    open.set(callId, { id, wish: found });
    const approvalId = takeFirst(known, (one) => isCall(one, found))?.approvalId ?? null;
    const ask: Ask = { callId, kind, tool, input, questions, approvalId };
    return { ...NOTHING, asks: [ask] };
  }

  /** A message of Bullpen's own into the running turn. */
  function tell(text: string): string {
    if (threadId === null || turnId === null) return '';
    messages += 1;
    const params = { threadId, expectedTurnId: turnId, input: textInput(text) };
    return rpcRequest(`note:${messages}`, 'turn/steer', params);
  }

  function interrupt(): string | null {
    if (threadId === null || turnId === null) return null;
    return rpcRequest(INTERRUPT, 'turn/interrupt', { threadId, turnId });
  }

  return {
    line(line, cut = null) {
      const message = parseRpc(line);
      const isWhole = cut === null;
      switch (message?.kind) {
        case 'answer':
          return onAnswer(message);
        case 'request':
          return onRequest(message, isWhole);
        case 'notice':
          return onNotice(message, isWhole);
        case undefined:
          return NOTHING;
      }
    },
    interrupt,
    steer({ id, text }) {
      if (threadId === null || turnId === null) return null;
      const params = { threadId, expectedTurnId: turnId, clientUserMessageId: id, input: textInput(text) };
      return rpcRequest(`${STEER}${id}`, 'turn/steer', params);
    },
    decide(callId, decision: Decision) {
      const one = open.get(callId);
      if (one === undefined) return '';
      open.delete(callId);
      const { id, wish } = one;
      if (decision.decision === 'deny') {
        const { message } = decision;
        const why = message === '' ? '' : tell(`${wish.tool} was denied: ${message}`);
        return rpcAnswer(id, wish.denied) + why;
      }
      rules.push(...decision.rules);
      if (wish.kind === 'question') return rpcAnswer(id, wish.allowed(decision.input));
      const edited = typeof decision.input === 'object' ? { ...wish.input, ...decision.input } : wish.input;
      if (isSameJson(edited, wish.input)) return rpcAnswer(id, wish.allowed(edited));
      // codex cannot run another input than the model's.
      granted.push({ tool: wish.tool, input: edited });
      const input = jsonText(edited) ?? '';
      const instead = `It is allowed only with this input. Call ${wish.tool} again, with exactly it: ${input}`;
      return rpcAnswer(id, wish.denied) + tell(instead);
    },
    park(callId, approvalId): ParkedCall {
      const one = open.get(callId);
      if (one === undefined) return { write: '', waits: 'granted' };
      open.delete(callId);
      parked = true;
      const { id, wish } = one;
      known.push({ approvalId, callId, tool: wish.tool, input: wish.input });
      const write =
        wish.cancelled === null
          ? rpcAnswer(id, wish.denied) + (interrupt() ?? '')
          : rpcAnswer(id, wish.cancelled);
      return { write, waits: 'granted' };
    },
  };
}

/** The answer to a request that no person can decide. */
function refusal(id: Request['id'], method: string): string {
  const result = REFUSALS.get(method);
  return result === undefined
    ? rpcError(id, 'this client does not support the request')
    : rpcAnswer(id, result);
}

const resolvedId = (params: unknown): unknown =>
  typeof params === 'object' && params !== null && 'requestId' in params ? params.requestId : null;

/** Removes the first of them that fits; null: none does. */
function takeFirst<T>(list: T[], fits: (one: T) => boolean): T | null {
  const index = list.findIndex(fits);
  return index < 0 ? null : (list.splice(index, 1)[0] ?? null);
}

/** Whether a call is this one. The reason that the model gives for it may be another. */
function isCall(call: { readonly tool: string; readonly input: unknown }, wish: Wish): boolean {
  if (call.tool !== wish.tool || typeof call.input !== 'object' || call.input === null) return false;
  const { reason: _, ...same } = { reason: null, ...call.input };
  return isSameJson(same, wish.same);
}

/** Whether a rule like `shell(git *)` allows a call. When in doubt it does not. */
function ruleAllows(rule: string, { tool, kind, command }: Wish): boolean {
  const [, name, pattern] = /^([^(]*)(?:\((.*)\))?$/s.exec(rule) ?? [];
  if (kind !== 'tool' || name !== tool) return false;
  if (pattern === undefined || pattern === command) return true;
  if (command === null || !pattern.includes('*') || SECOND_COMMAND.test(command)) return false;
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop() ?? '';
  let at = first.length;
  for (const part of rest) {
    const found = command.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return command.startsWith(first) && command.endsWith(last) && command.length - last.length >= at;
}
