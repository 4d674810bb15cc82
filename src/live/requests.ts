/** Messages of clients: from parsed JSON to a request that can be trusted. */
import { Type } from '#typebox';
import { Compile } from '#typebox/compile';
import { LiveCommand, LiveRequest } from '../protocol/live.ts';
import { invalid, problemsOf } from '../protocol/problem.ts';

/** Deeper than any request, and far below what overflows the stack of recursive code. */
const MAX_DEPTH = 64;

const [COMMAND, CANCEL, AUTH, PING] = LiveRequest.anyOf;
const SCHEMAS = { command: COMMAND, cancel: CANCEL, auth: AUTH, ping: PING, pong: PING } as const;
const NAMES = LiveCommand.anyOf.map(({ properties }) => properties.command.const);

type Kind = keyof typeof SCHEMAS;
type Validator = ReturnType<typeof Compile>;
/** By the type of the message, and by the name of the command. Each is compiled at first use. */
const validators = new Map<string, Validator>();

/**
 * The request in a message.
 * @throws AppError request.invalid with every problem
 */
export function requestOf(message: unknown): LiveRequest {
  if (!isObject(message)) throw invalid([{ path: '', message: 'must be an object' }]);
  checkShape(message);
  const validator = validatorFor(message);
  // as: the validator has the schema of one member of the union
  if (validator.Check(message)) return message as LiveRequest;
  throw invalid(problemsOf(validator.Errors(message), ''));
}

/** The id of a message that may be anything; null: it has none that an answer could name. */
export function messageIdOf(message: unknown): string | null {
  const id = isObject(message) ? message['message_id'] : null;
  return typeof id === 'string' && /^[\w.:-]{1,64}$/.test(id) ? id : null;
}

/** Of the one schema that is meant: a union would report the problems of all its members. */
function validatorFor(message: Record<string, unknown>): Validator {
  const { type, data } = message;
  if (!isKind(type)) throw notOneOf('/type', Object.keys(SCHEMAS));
  if (type !== 'command') return compiled(type, () => Compile(SCHEMAS[type]));
  const name = isObject(data) ? data['command'] : undefined;
  const schema = LiveCommand.anyOf.find(({ properties }) => properties.command.const === name);
  if (schema === undefined) throw notOneOf('/data/command', NAMES);
  const whole = () => Compile(Type.Object({ ...COMMAND.properties, data: schema }, CLOSED));
  return compiled(`command ${String(name)}`, whole);
}
const CLOSED = { additionalProperties: false };

function compiled(name: string, compile: () => Validator): Validator {
  const known = validators.get(name) ?? compile();
  validators.set(name, known);
  return known;
}

const isKind = (type: unknown): type is Kind => typeof type === 'string' && Object.hasOwn(SCHEMAS, type);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const notOneOf = (path: string, names: readonly string[]) =>
  invalid([{ path, message: `must be one of ${names.join(', ')}` }]);

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
