/** Messages of clients: from parsed JSON to a request that can be trusted. */
import { type TSchema, Type } from '#typebox';
import { type Checker, createChecker } from '../protocol/checker.ts';
import { LiveCommand, LiveRequest } from '../protocol/live.ts';
import { invalid, problemsOf } from '../protocol/problem.ts';
import type { ActingRequest } from './commands.ts';
import type { Target } from './encoding.ts';

/** Deeper than any request, and far below what overflows the stack of recursive code. */
const MAX_DEPTH = 64;

const [COMMAND, CANCEL, AUTH, PING] = LiveRequest.anyOf;
const OTHERS = { cancel: CANCEL, auth: AUTH, ping: PING, pong: PING } as const;
const CLOSED = { additionalProperties: false };

/** By the type of the message. */
const checkers = new Map<unknown, Checker<TSchema>>(
  Object.entries(OTHERS).map(([type, schema]) => [type, createChecker(schema)]),
);
/** Of messages of the type `command`, by the name of the command. */
const commandCheckers = new Map<unknown, Checker<TSchema>>(
  LiveCommand.anyOf.map((data) => [
    data.properties.command.const,
    createChecker(Type.Object({ ...COMMAND.properties, data }, CLOSED)),
  ]),
);

/**
 * The request in a message.
 * @throws AppError request.invalid with every problem
 */
export function requestOf(message: unknown): LiveRequest {
  if (!isObject(message)) throw invalid([{ path: '', message: 'must be an object' }]);
  checkShape(message);
  const checker = checkerFor(message);
  // as: the checker has the schema of one member of the union
  if (checker.check(message)) return message as LiveRequest;
  throw invalid(problemsOf(checker.errors(message), ''));
}

/** The id of a message that may be anything; null: it has none that an answer could name. */
export function messageIdOf(message: unknown): string | null {
  const id = isObject(message) ? message['message_id'] : null;
  return typeof id === 'string' && /^[\w.:-]{1,64}$/.test(id) ? id : null;
}

/** Of the one schema that is meant: a union would report the problems of all its members. */
function checkerFor({ type, data }: Record<string, unknown>): Checker<TSchema> {
  if (type === 'command') {
    const checker = commandCheckers.get(isObject(data) ? data['command'] : undefined);
    return checker ?? refuse('/data/command', commandCheckers.keys());
  }
  return checkers.get(type) ?? refuse('/type', ['command', ...checkers.keys()]);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function refuse(path: string, names: Iterable<unknown>): never {
  throw invalid([{ path, message: `must be one of ${[...names].join(', ')}` }]);
}

/**
 * Refuses what is nested too deeply, and keys that code could take for the prototype of an object,
 * as bodies over HTTP are refused.
 */
function checkShape(message: object): void {
  const open: { readonly value: object; readonly depth: number }[] = [{ value: message, depth: 1 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, depth } = next;
    if (depth > MAX_DEPTH)
      throw invalid([{ path: '', message: `must not be nested deeper than ${MAX_DEPTH} levels` }]);
    for (const [key, part] of Object.entries(value)) {
      if (typeof part !== 'object' || part === null) continue;
      if (key === '__proto__' || (key === 'constructor' && Object.hasOwn(part, 'prototype')))
        throw invalid([{ path: '', message: `must not have the key "${key}"` }]);
      open.push({ value: part, depth: depth + 1 });
    }
  }
}

/** What a request is about; it is done after earlier ones about the same. */
export function targetOf(request: Target & Pick<ActingRequest, 'data'>): string {
  const { session_id, job_id, data } = request;
  if (session_id !== undefined) return `session ${session_id}`;
  if (job_id !== undefined) return `job ${job_id}`;
  return data !== undefined && 'approvalId' in data ? `approval ${data.approvalId}` : 'all';
}
