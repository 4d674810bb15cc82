import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { record } from './fake-cli-journal.ts';
import type { Write } from './fake-cli-voice.ts';

/** A message on stdin. */
export interface Message {
  /** Null: it has no id. */
  readonly uuid: string | null;
  readonly text: string;
}

/** A call that a resumed session asks about again. */
export interface DeferredCall {
  readonly id: string;
  readonly name: string;
  readonly input: unknown;
  /** What the turn goes on with after the call: steps. */
  readonly rest: readonly unknown[];
}

/** What became of a call. */
export type Permission =
  | { readonly kind: 'runs'; readonly input: unknown }
  | { readonly kind: 'denied'; readonly message: string }
  | { readonly kind: 'deferred' };

/** claude's control protocol, as far as tests of the server need it. */
export interface Talk {
  /** The messages that begin a turn. Ends with stdin. */
  turns(): AsyncGenerator<Message | DeferredCall>;
  /** Asks the hook, if there is one, and then the host if the rules do not allow the call. */
  permit(id: string, name: string, input: unknown): Promise<Permission>;
  /** Whether a message came during the turn. */
  hasMessage(): boolean;
  /** Messages that came during the turn: they are in it from now on. */
  fold(): Promise<void>;
  /** The turn has its result. */
  completed(): Promise<void>;
  /** Resolves at the next interrupt. */
  interrupted(): Promise<void>;
  defer(call: DeferredCall): void;
}

interface Answer {
  readonly subtype: string;
  readonly response?: Record<string, unknown>;
}

const CLOSED = 'Tool permission stream closed before response received';

export function createTalk(options: {
  readonly stdout: Write;
  readonly sessionId: string;
  readonly resumes: boolean;
  readonly allowedTools: readonly string[];
  /** Whether `can_use_tool` is asked: `--permission-prompt-tool=stdio`. */
  readonly asksHost: boolean;
  /** Whether requests are answered. */
  readonly answers: boolean;
}): Talk {
  const { sessionId } = options;
  const queue: (Message | DeferredCall)[] = [];
  /** The messages of the running turn. */
  const current: Message[] = [];
  const waiting = new Map<string, (answer: Answer | null) => void>();
  const allowed = new Set(options.allowedTools);
  const deferredFile = `${process.env['FAKE_JOURNAL'] ?? ''}.deferred-${sessionId}`;
  let hasHook = false;
  let closed = false;
  let requests = 0;
  let wake: () => void = () => {};
  let onInterrupt: () => void = () => {};

  const say = (line: object): Promise<void> => options.stdout(`${JSON.stringify(line)}\n`);
  const lifecycle = (uuid: string | null, state: string): Promise<void> =>
    uuid === null || !options.answers
      ? Promise.resolve()
      : say({ type: 'command_lifecycle', command_uuid: uuid, state });

  async function receive(line: string): Promise<void> {
    const message = JSON.parse(line);
    if (message.type === 'user') {
      const { content } = message.message;
      const text = typeof content === 'string' ? content : content[0].text;
      const uuid = message.uuid ?? null;
      queue.push({ uuid, text });
      await lifecycle(uuid, 'queued');
      wake();
    } else if (message.type === 'control_response') {
      waiting.get(message.response.request_id)?.(message.response);
      waiting.delete(message.response.request_id);
    } else await onRequest(message.request_id, message.request);
  }

  async function onRequest(requestId: string, request: Record<string, unknown>): Promise<void> {
    if (request['subtype'] === 'initialize') hasHook = request['hooks'] !== undefined;
    if (hasHook && options.resumes && existsSync(deferredFile)) {
      const call: DeferredCall = JSON.parse(readFileSync(deferredFile, 'utf8'));
      rmSync(deferredFile);
      await lifecycle(randomUUID(), 'started');
      queue.push(call);
      wake();
    }
    const isInterrupt = request['subtype'] === 'interrupt';
    for (const id of isInterrupt ? [...waiting.keys()] : [])
      await say({ type: 'control_cancel_request', request_id: id });
    const response = { subtype: 'success', request_id: requestId };
    if (options.answers) await say({ type: 'control_response', response });
    if (isInterrupt) onInterrupt();
  }

  /** Null: stdin has ended. */
  async function ask(request: object): Promise<Answer | null> {
    requests += 1;
    const id = `fake-${requests}`;
    const answered = new Promise<Answer | null>((resolve) => waiting.set(id, resolve));
    await say({ type: 'control_request', request_id: id, request });
    if (closed) return null;
    return answered;
  }

  async function askHook(id: string, name: string, input: unknown): Promise<Permission | null> {
    const answer = await ask({
      subtype: 'hook_callback',
      callback_id: 'call',
      tool_use_id: id,
      input: { hook_event_name: 'PreToolUse', tool_name: name, tool_input: input, tool_use_id: id },
    });
    // As the protocol has it.
    const said = answer?.response?.['hookSpecificOutput'] as Record<string, unknown> | undefined;
    switch (said?.['permissionDecision']) {
      case 'allow':
        return { kind: 'runs', input: said['updatedInput'] ?? input };
      case 'deny':
        return { kind: 'denied', message: String(said['permissionDecisionReason']) };
      case 'defer':
        return { kind: 'deferred' };
      case 'ask':
        return askHost(id, name, said['updatedInput'] ?? input);
      default:
        return null;
    }
  }

  async function askHost(id: string, name: string, input: unknown): Promise<Permission> {
    const answer = await ask({ subtype: 'can_use_tool', tool_name: name, input, tool_use_id: id });
    const said = answer?.response;
    if (said === undefined) return { kind: 'denied', message: CLOSED };
    for (const update of (said['updatedPermissions'] ?? []) as { rules: { toolName: string }[] }[])
      for (const { toolName } of update.rules) allowed.add(toolName);
    return said['behavior'] === 'allow'
      ? { kind: 'runs', input: said['updatedInput'] }
      : { kind: 'denied', message: String(said['message']) };
  }

  return {
    async *turns() {
      const lines = createInterface({ input: process.stdin });
      lines.on('line', (line) => void receive(line));
      lines.on('close', () => {
        closed = true;
        for (const answer of waiting.values()) answer(null);
        wake();
      });
      for (;;) {
        const next = queue.shift();
        if (next === undefined && closed) return;
        if (next === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        if ('uuid' in next) {
          current.push(next);
          await lifecycle(next.uuid, 'started');
        }
        yield next;
      }
    },
    async permit(id, name, input) {
      const byHook = hasHook ? await askHook(id, name, input) : null;
      if (byHook !== null) return byHook;
      if (allowed.has(name)) return { kind: 'runs', input };
      if (!options.asksHost) return { kind: 'denied', message: 'not allowed' };
      return askHost(id, name, input);
    },
    hasMessage: () => queue.length > 0,
    async fold() {
      for (const message of queue.splice(0)) {
        if (!('uuid' in message)) continue;
        current.push(message);
        await lifecycle(message.uuid, 'started');
        record({ event: 'steered', pid: process.pid, text: message.text, at: Date.now() });
      }
    },
    async completed() {
      for (const { uuid } of current.splice(0)) await lifecycle(uuid, 'completed');
    },
    interrupted: () =>
      new Promise((resolve) => {
        onInterrupt = resolve;
      }),
    defer: (call) => writeFileSync(deferredFile, JSON.stringify(call)),
  };
}
