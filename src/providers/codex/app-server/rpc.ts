/**
 * The messages of `codex app-server`, as of codex 0.169.0: JSON-RPC without its version, one object
 * a line, both ways.
 */
import { type Static, Type } from '#typebox';
import { createChecker } from '../../../protocol/checker.ts';
import { jsonText, parseJsonLine } from '../../json.ts';

const Id = Type.Union([Type.String(), Type.Number()]);
type Id = Static<typeof Id>;

/** The ids of our own requests. */
export const HELLO = 'hello';
export const THREAD = 'thread';
export const TURN = 'turn';
export const STEER = 'steer:';
export const INTERRUPT = 'interrupt';

const answer = createChecker(
  Type.Object({
    id: Id,
    result: Type.Optional(Type.Unknown()),
    error: Type.Optional(Type.Object({ message: Type.String() })),
  }),
);
const call = createChecker(
  Type.Object({ id: Type.Optional(Id), method: Type.String(), params: Type.Optional(Type.Unknown()) }),
);

export type RpcMessage =
  | { readonly kind: 'answer'; readonly id: Id; readonly result: unknown; readonly error: string | null }
  | { readonly kind: 'request'; readonly id: Id; readonly method: string; readonly params: unknown }
  | { readonly kind: 'notice'; readonly method: string; readonly params: unknown };

/** The message in a line; null when it is none. */
export function parseRpc(line: string): RpcMessage | null {
  const value = parseJsonLine(line);
  if (call.check(value)) {
    const { id, method, params } = value;
    return id === undefined ? { kind: 'notice', method, params } : { kind: 'request', id, method, params };
  }
  if (!answer.check(value)) return null;
  const { id, result, error } = value;
  return { kind: 'answer', id, result, error: error?.message ?? null };
}

const line = (message: object): string | null => {
  const text = jsonText(message);
  return text === null ? null : `${text}\n`;
};

export const rpcRequest = (id: string, method: string, params: object): string =>
  line({ id, method, params }) ?? '';

export const rpcNotice = (method: string): string => line({ method }) ?? '';

export const rpcError = (id: Id, message: string): string =>
  line({ id, error: { code: -32601, message } }) ?? '';

/** An answer; an error instead where it holds a value that is nested too deeply. */
export const rpcAnswer = (id: Id, result: unknown): string =>
  line({ id, result }) ?? rpcError(id, 'the answer cannot be written');
