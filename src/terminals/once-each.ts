/** Does each message to a terminal once, by its id. */
import { AppError } from '../errors.ts';
import { fingerprintOf } from '../fingerprint.ts';
import type { TerminalAsk } from '../protocol/terminal.ts';

const REMEMBERED = 1000;

export type TerminalAct = Extract<TerminalAsk, { kind: 'input' | 'resize' | 'signal' }>;

interface Message {
  /** Digest of what it asks for. */
  readonly content: string;
  readonly done: Promise<void>;
}

/**
 * Performs a message, unless one with its id was done before. One that was refused may come again.
 * What it returns throws what `perform` throws, and AppError idempotency.key_reused.
 */
export function onceEach(perform: (act: TerminalAct) => Promise<void>) {
  const messages = new Map<string, Message>();
  return async (act: TerminalAct): Promise<{ readonly repeated: boolean }> => {
    const { kind, messageId } = act;
    const content = fingerprintOf(kind, { ...act, clientSeq: null });
    const known = messageId === null ? undefined : messages.get(messageId);
    if (known !== undefined && known.content !== content)
      throw new AppError('idempotency.key_reused', 'this id was used for another message to the terminal');
    if (known !== undefined) {
      await known.done;
      return { repeated: true };
    }
    const done = perform(act);
    if (messageId !== null) messages.set(messageId, { content, done });
    const [oldest] = messages.keys();
    if (messages.size > REMEMBERED && oldest !== undefined) messages.delete(oldest);
    try {
      await done;
    } catch (error) {
      if (messageId !== null) messages.delete(messageId);
      throw error;
    }
    return { repeated: false };
  };
}
