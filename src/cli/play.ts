/** Plays the recording of a terminal on that of the person. */
import type { PersonTerminal } from './person-terminal.ts';
import { createTerminalModes } from './terminal-modes.ts';

export interface PlayOptions {
  readonly person: Pick<PersonTerminal, 'write'>;
  /** 2: twice as fast. */
  readonly speed: number;
  /** Longer pauses take this long. */
  readonly idleLimitMs: number;
  readonly signal: AbortSignal;
  now(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Shorter waits are added to the next one. */
const SHORTEST_MS = 4;

/**
 * Plays lines of asciicast v2 to their end, and leaves the terminal as it was.
 * @throws the reason of `signal`
 */
export async function play(lines: AsyncIterable<string>, options: PlayOptions): Promise<void> {
  const { person, speed, idleLimitMs, signal, now, sleep } = options;
  const modes = createTerminalModes();
  let at = 0;
  let due = now();
  try {
    for await (const line of lines) {
      const event = eventIn(line);
      if (event === null) continue;
      const [seconds, kind, data] = event;
      due += Math.min(Math.max(0, (seconds - at) * 1000), idleLimitMs) / speed;
      at = seconds;
      signal.throwIfAborted();
      if (due - now() >= SHORTEST_MS) await sleep(due - now(), signal);
      if (kind !== 'o') continue;
      const bytes = Buffer.from(data);
      modes.see(bytes);
      await person.write(bytes);
    }
  } finally {
    await person.write(`${modes.reset()}\r\n\u001b[J`);
  }
}

/** Null: it is the header, or a damaged line. */
function eventIn(line: string): readonly [number, string, string] | null {
  try {
    const [seconds, kind, data] = JSON.parse(line);
    const isEvent = Number.isFinite(seconds) && typeof kind === 'string' && typeof data === 'string';
    return isEvent ? [seconds, kind, data] : null;
  } catch {
    return null;
  }
}
