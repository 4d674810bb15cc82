/** Keeps the status of a terminal's session as its screen and its shell show it. */
import type { ScreenPattern } from '../providers/interactive.ts';
import type { TerminalMove, TerminalRecords } from '../records/session-ports.ts';
import { pause } from '../timing.ts';
import { createScreenMatcher, type ScreenMatch, TRIGGER_OF } from './screen-status.ts';

/** The screen is looked at this often while there is output. */
const LOOK_EVERY_MS = 50;
const RETRY_MS = 250;

export interface TerminalStatus {
  /** The screen may have changed. */
  output(): void;
  /** A shell has marked a place, as in OSC 133. */
  shellMark(mark: string): void;
  /** A signal or Ctrl-C has reached the program. */
  interrupted(): void;
  /** The last move. Resolves when it is done, or given up. */
  end(move: TerminalMove): Promise<void>;
  /** Waits no longer for Redis. */
  giveUp(): void;
}

export function createTerminalStatus(options: {
  readonly sessionId: string;
  readonly records: Pick<TerminalRecords, 'move'>;
  /** Empty: it is a command, which takes input from its start on. */
  readonly patterns: readonly ScreenPattern[];
  lines(): readonly string[];
}): TerminalStatus {
  const { sessionId, records, patterns } = options;
  const match = createScreenMatcher(patterns);
  const given = new AbortController();
  let shown: ScreenMatch | null = null;
  let isOver = false;
  /** The last wanted move counts. */
  let wanted: TerminalMove | null = null;
  let moving: Promise<void> | null = null;
  let lookedAt = 0;
  let looking: NodeJS.Timeout | null = null;

  function move(next: TerminalMove): Promise<void> {
    wanted = next;
    moving ??= moveAll().finally(() => {
      moving = null;
    });
    return moving;
  }

  async function moveAll(): Promise<void> {
    for (let next = wanted; next !== null && !given.signal.aborted; next = wanted) {
      try {
        const isDone = await records.move(sessionId, next);
        // A session whose record is lost has no status. Its end waits until the record is back.
        if (isDone || !isOver) {
          if (wanted === next) wanted = null;
          continue;
        }
      } catch {
        // Redis is away, or refuses it for now.
      }
      await pause(RETRY_MS, given.signal);
    }
  }

  function show(next: ScreenMatch | null): void {
    if (next === null || isOver) return;
    const waits = next.status === 'awaiting_auth' || next.status === 'awaiting_input';
    const line = waits ? next.line : '';
    if (shown?.status === next.status && shown.line === line) return;
    shown = { status: next.status, line };
    void move({ trigger: TRIGGER_OF[next.status], reason: null, matchedLine: line || null });
  }

  function look(): void {
    looking = null;
    lookedAt = performance.now();
    show(match(options.lines()));
  }

  if (patterns.length === 0) show({ status: 'ready', line: '' });
  return {
    output() {
      if (patterns.length === 0 || isOver) return;
      looking ??= setTimeout(look, Math.max(0, LOOK_EVERY_MS - (performance.now() - lookedAt)));
    },
    shellMark(mark) {
      if (/^[ACD](;|$)/.test(mark)) show({ status: mark.startsWith('C') ? 'busy' : 'ready', line: '' });
    },
    interrupted() {
      if (shown?.status !== 'busy' || isOver) return;
      void move({ trigger: 'interrupted', reason: null, matchedLine: null });
    },
    end(last) {
      isOver = true;
      if (looking !== null) clearTimeout(looking);
      return move(last);
    },
    giveUp: () => given.abort(),
  };
}
