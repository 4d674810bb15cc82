/**
 * Brings the output of a terminal to its readers: as events of its session's stream in Redis. The
 * first bytes after a silence go at once; while one append is under way, further ones are gathered.
 */
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import type { TerminalEvent, TerminalSize } from '../protocol/terminal.ts';
import type { TerminalRecords } from '../records/session-ports.ts';

const MAX_EVENT_BYTES = 64 * 1024;
/** Of output in one append. */
const MAX_APPEND_BYTES = 512 * 1024;
/** What Redis keeps of a terminal, about. */
const KEPT_BYTES = 1024 * 1024;
/** What an event costs in Redis beside its data. */
const EVENT_COST = 150;
/** The program is slowed down when more than this waits while Redis works. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** When more than this waits while Redis is away, readers get the screen instead. */
const MAX_HELD_BYTES = 8 * 1024 * 1024;
const RETRY_MS = 250;
/** Redis has lost its data, and no reconciler has restored the record in this time. */
const GONE_AFTER_MS = 120_000;

export interface Publisher {
  output(bytes: Buffer): void;
  resized(size: TerminalSize): void;
  /** Whether the program must wait before it may write more. */
  readonly isFull: boolean;
  /**
   * Ends the current event. Resolves with the seq of the event that ends here, once it is appended.
   * Null: it never will be.
   */
  cut(): Promise<number | null>;
  /** Resolves when all is appended. */
  flush(): Promise<void>;
  /** Drops what waits. */
  stop(): void;
}

export interface PublisherOptions {
  readonly sessionId: string;
  readonly records: Pick<TerminalRecords, 'append'>;
  /** The screen after all output so far. */
  screen(): { readonly size: TerminalSize; readonly data: Buffer };
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after a while, or when `signal` aborts. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
  /** `isFull` has become false. */
  onDrain(): void;
  /** Redis has no record of the session, and none came back. */
  onGone(): void;
  readonly failpoint?: Failpoint;
}

type Waiting =
  | { readonly at: number; readonly offset: number; readonly chunks: Buffer[]; bytes: number }
  | { readonly at: number; readonly event: TerminalEvent };

export function createPublisher(options: PublisherOptions): Publisher {
  const { sessionId, records, now, pause, failpoint = noFailpoint } = options;
  const stopped = new AbortController();
  let waiting: Waiting[] = [];
  /** In the append that is under way. */
  let flying: readonly Waiting[] = [];
  let lastSeq = 0;
  /** The next output begins a new event. */
  let isCut = true;
  let heldBytes = 0;
  let offset = 0;
  let batch = 0;
  let isAway = false;
  /** The held output was dropped: the screen comes next. */
  let isScreenDue = false;
  let running: Promise<void> | null = null;
  /** What Redis keeps: the seq and the cost of each event. */
  const kept: { readonly seq: number; readonly cost: number }[] = [];
  let keptCost = 0;
  /** Redis drops the events before this one, those that are not the publisher's included. */
  let keepFrom = 0;
  let cuts: { readonly after: Waiting; resolve(seq: number | null): void }[] = [];

  const isFull = (): boolean => !isAway && heldBytes > HIGH_WATER_BYTES;

  function add(one: Waiting): void {
    waiting.push(one);
    running ??= run().finally(() => {
      running = null;
    });
  }

  /** The event of one entry. Its data are joined as late as possible. */
  const eventOf = (one: Waiting): TerminalEvent =>
    'event' in one
      ? one.event
      : { kind: 'terminal.output', offset: one.offset, data: Buffer.concat(one.chunks).toString('base64') };

  const bytesOf = (one: Waiting): number => ('event' in one ? 0 : one.bytes);

  function nextBatch(): readonly Waiting[] {
    if (isScreenDue) {
      isScreenDue = false;
      const { size, data } = options.screen();
      const screen = { kind: 'terminal.screen', offset, ...size, data: data.toString('base64') } as const;
      waiting.unshift({ at: now(), event: screen });
    }
    let bytes = 0;
    const end = waiting.findIndex((one) => {
      bytes += bytesOf(one);
      return bytes > MAX_APPEND_BYTES;
    });
    const taken = waiting.slice(0, end === -1 ? waiting.length : Math.max(1, end));
    waiting = waiting.slice(taken.length);
    if (waiting.length === 0) isCut = true;
    return taken;
  }

  async function run(): Promise<void> {
    while ((waiting.length > 0 || isScreenDue) && !stopped.signal.aborted) {
      const taken = nextBatch();
      batch += 1;
      flying = taken;
      const seq = await appendUntilDone(taken);
      await failpoint('terminal.published');
      flying = [];
      if (seq === null) return;
      lastSeq = seq;
      const wasFull = isFull();
      for (const [index, one] of taken.entries()) {
        heldBytes -= bytesOf(one);
        keep(seq - taken.length + 1 + index, one);
      }
      settle(taken, seq);
      if (wasFull && !isFull()) options.onDrain();
    }
  }

  /** Null: it was given up. */
  async function appendUntilDone(taken: readonly Waiting[]): Promise<number | null> {
    const events = taken.map((one) => ({ at: one.at, event: eventOf(one) }));
    let missingSince: number | null = null;
    while (!stopped.signal.aborted) {
      try {
        const seq = await records.append(sessionId, batch, events, keepFrom);
        if (seq > 0) {
          isAway = false;
          if (missingSince !== null) dropLost();
          return seq;
        }
        missingSince ??= now();
        if (now() - missingSince > GONE_AFTER_MS) {
          stopped.abort();
          options.onGone();
          break;
        }
      } catch {
        // Redis is away, or refuses it for now.
      }
      if (!isAway) {
        isAway = true;
        options.onDrain(); // the program goes on
      }
      await pause(RETRY_MS, stopped.signal);
    }
    settle(taken, null);
    return null;
  }

  function keep(seq: number, one: Waiting): void {
    const data = 'event' in one ? ('data' in one.event ? one.event.data.length : 0) : (one.bytes * 4) / 3;
    kept.push({ seq, cost: data + EVENT_COST });
    keptCost += data + EVENT_COST;
    while (kept.length > 1 && keptCost > KEPT_BYTES) {
      keptCost -= kept.shift()?.cost ?? 0;
      keepFrom = kept[0]?.seq ?? keepFrom;
    }
  }

  /** Resolves the cuts after these entries; `seq` is that of the last of them. */
  function settle(taken: readonly Waiting[], seq: number | null): void {
    cuts = cuts.filter(({ after, resolve }) => {
      const index = taken.indexOf(after);
      if (index === -1) return true;
      resolve(seq === null ? null : seq - taken.length + 1 + index);
      return false;
    });
  }

  /** Too much waits for a Redis that is away. */
  function dropHeld(): void {
    for (const one of waiting) heldBytes -= bytesOf(one);
    const dropped = waiting;
    waiting = [];
    isCut = true;
    isScreenDue = true;
    settle(dropped, null);
  }

  /** Redis had lost the stream. Its readers begin again with the screen. */
  function dropLost(): void {
    kept.length = 0;
    keptCost = 0;
    dropHeld();
  }

  return {
    get isFull() {
      return isFull();
    },
    output(bytes) {
      if (stopped.signal.aborted) return;
      const begin = offset;
      offset += bytes.length;
      if (isScreenDue) return; // the screen will have it
      for (let at = 0; at < bytes.length; ) {
        const last = waiting.at(-1);
        const open = isCut || last === undefined || 'event' in last ? null : last;
        const room = open === null ? MAX_EVENT_BYTES : MAX_EVENT_BYTES - open.bytes;
        const chunk = bytes.subarray(at, at + room);
        if (open !== null && room > 0) {
          open.chunks.push(chunk);
          open.bytes += chunk.length;
        } else if (room > 0) {
          isCut = false;
          add({ at: now(), offset: begin + at, chunks: [chunk], bytes: chunk.length });
        } else isCut = true;
        heldBytes += chunk.length;
        at += chunk.length;
      }
      if (isAway && heldBytes > MAX_HELD_BYTES) dropHeld();
    },
    resized({ cols, rows }) {
      if (stopped.signal.aborted || isScreenDue) return;
      isCut = true;
      add({ at: now(), event: { kind: 'terminal.resized', cols, rows } });
    },
    cut() {
      isCut = true;
      const after = waiting.at(-1) ?? flying.at(-1);
      if (stopped.signal.aborted || isScreenDue) return Promise.resolve(null);
      if (after === undefined) return Promise.resolve(lastSeq);
      return new Promise((resolve) => {
        cuts.push({ after, resolve });
      });
    },
    async flush() {
      await running;
    },
    stop() {
      stopped.abort();
      settle(waiting, null);
    },
  };
}
