/** A terminal of the server on a screen of the page, as it comes. */
import type { SessionStoredEvent } from '../../../protocol/event.ts';
import type { TerminalSize } from '../../../protocol/terminal.ts';
import { live } from '../../server.ts';
import type { Screen } from './xterm.ts';

/** A connection reads each session once: the next reader waits until the one before has left. */
const reading = new Map<string, Promise<void>>();

async function* readSession(id: string, signal: AbortSignal): AsyncGenerator<SessionStoredEvent> {
  while (reading.has(id)) await reading.get(id);
  signal.throwIfAborted();
  const { promise, resolve } = Promise.withResolvers<void>();
  reading.set(id, promise);
  try {
    yield* live().session(id, { signal });
  } finally {
    reading.delete(id);
    resolve();
  }
}

/**
 * Shows what comes until `signal`.
 * @param onStatus the session has another status
 * @throws ApiError, UnreachableError, and the reason of `signal`
 */
export async function follow(
  id: string,
  screen: Screen,
  signal: AbortSignal,
  onStatus: () => void,
): Promise<void> {
  for await (const event of readSession(id, signal)) {
    if (event.kind === 'terminal.screen') {
      await screen.reset(event);
      await screen.write(bytesOf(event.data));
    } else if (event.kind === 'terminal.output') await screen.write(bytesOf(event.data));
    else if (event.kind === 'terminal.resized') await screen.resize(event);
    else if (event.kind === 'session.status') onStatus();
    signal.throwIfAborted();
  }
}

const bytesOf = (base64: string): Uint8Array =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** Characters of one message, which has at most 64 KiB as JSON. */
const PART = 8192;

/** Types into a terminal: in order, and what is typed during a request with the next one. */
export function createTyping(id: string, onRefused: (error: unknown) => void): (text: string) => void {
  let typed = '';
  let sending = false;
  const send = async (): Promise<void> => {
    sending = true;
    try {
      while (typed !== '') {
        const part = firstPart(typed);
        typed = typed.slice(part.length);
        await live().input(id, part);
      }
    } catch (error) {
      typed = '';
      onRefused(error);
    } finally {
      sending = false;
    }
  };
  return (text) => {
    typed += text;
    if (!sending) void send();
  };
}

/** Splits no character in two. */
function firstPart(text: string): string {
  const last = text.charCodeAt(PART - 1);
  const splits = text.length > PART && last >= 0xd800 && last <= 0xdbff;
  return text.slice(0, splits ? PART - 1 : PART);
}

/** Gives the server the size of a screen: the latest one, after the one before is done. */
export function createResizing(id: string): (size: TerminalSize) => void {
  let wanted: TerminalSize | null = null;
  let sending = false;
  const send = async (): Promise<void> => {
    sending = true;
    try {
      while (wanted !== null) {
        const size = wanted;
        wanted = null;
        await live().resize(id, size);
      }
    } catch {
      // A program that has ended has no size; what else fails is seen in its status.
    } finally {
      sending = false;
    }
  };
  return (size) => {
    wanted = size;
    if (!sending) void send();
  };
}
