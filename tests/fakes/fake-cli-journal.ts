import { appendFileSync } from 'node:fs';

/**
 * One line of the journal: what the fake CLI itself saw, independent of the server's own counts.
 */
export type JournalEntry =
  | {
      readonly event: 'start';
      readonly pid: number;
      readonly ppid: number;
      /** Value of BULLPEN_EXECUTION_ID, or null. */
      readonly marker: string | null;
      readonly argv: readonly string[];
      readonly cwd: string;
      readonly envNames: readonly string[];
      /** The session named by `--resume`, or null. */
      readonly resume: string | null;
      readonly sessionId: string;
      /** Milliseconds since the epoch. */
      readonly at: number;
    }
  | {
      readonly event: 'prompt';
      readonly pid: number;
      readonly bytes: number;
      readonly firstLine: string;
      readonly at: number;
    }
  /** A message has joined the running turn. */
  | { readonly event: 'steered'; readonly pid: number; readonly text: string; readonly at: number }
  /** A tool that needed permission has run. */
  | {
      readonly event: 'tool';
      readonly pid: number;
      readonly name: string;
      readonly input: unknown;
      readonly at: number;
    }
  | { readonly event: 'signal'; readonly pid: number; readonly signal: string; readonly at: number }
  /** A grandchild was started: `child` is its id. */
  | { readonly event: 'spawned'; readonly pid: number; readonly child: number; readonly at: number }
  | { readonly event: 'end'; readonly pid: number; readonly code: number; readonly at: number };

/** Appends one line; O_APPEND keeps the lines of processes that write at once apart. */
export function record(entry: JournalEntry): void {
  const file = process.env['FAKE_JOURNAL'];
  if (file) appendFileSync(file, `${JSON.stringify(entry)}\n`);
}
