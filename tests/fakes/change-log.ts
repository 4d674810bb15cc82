import { AppError } from '../../src/errors.ts';
import type { JobChange } from '../../src/protocol/change.ts';
import type { ChangeLog, LogEntry } from '../../src/records/change-log.ts';
import { createFakeDoorbells } from './doorbells.ts';

export const LOG_CHANNEL = 'live:log';
const START = 1_780_000_000_000;

/** {@link ChangeLog} in memory, with its doorbell and a count of its reads. */
export class FakeChangeLog implements ChangeLog {
  readonly doorbells = createFakeDoorbells();
  reads = 0;
  #entries: LogEntry[] = [];
  #id = 'log-1';
  #added = 0;

  /** Adds a change of a job of `project`. Returns its cursor. */
  add(project: string, change: Partial<JobChange> = {}): string {
    this.#added += 1;
    const cursor = `${START + this.#added}-0`;
    const at = new Date(START + this.#added).toISOString();
    const job = { jobId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C', sessionId: null, batchId: null, rev: this.#added };
    const state = { status: 'queued', waitReason: null, scheduledFor: null, attempts: 0 } as const;
    const kind = 'job.changed';
    this.#entries.push({
      cursor,
      project,
      change: { cursor, kind, at, ...job, ...state, cancelRequested: false, ...change },
      gate: null,
      approval: null,
      session: null,
    });
    this.doorbells.send(LOG_CHANNEL, job.jobId);
    return cursor;
  }

  /** Adds an approval of a job of `project`. Returns its cursor. */
  ask(project: string): string {
    this.#added += 1;
    const cursor = `${START + this.#added}-0`;
    const [id, jobId] = ['01K9ZV4Q4S9V0M0X2T6D8Y3B7D', '01K9ZV4Q4S9V0M0X2T6D8Y3B7C'];
    const approval = { approvalId: id, jobId, sessionId: null, status: 'pending' } as const;
    const at = new Date(START + this.#added).toISOString();
    this.#entries.push({
      ...{ cursor, project, change: null, gate: null, session: null },
      approval: { cursor, kind: 'approval.changed', at, ...approval },
    });
    this.doorbells.send(LOG_CHANNEL, id);
    return cursor;
  }

  /** Adds a change of a session of `project`. Returns its cursor. */
  move(project: string): string {
    this.#added += 1;
    const cursor = `${START + this.#added}-0`;
    const id = '01K9ZV4Q4S9V0M0X2T6D8Y3B7E';
    const at = new Date(START + this.#added).toISOString();
    const state = { sessionId: id, sessionKind: 'chat', status: 'busy' } as const;
    this.#entries.push({
      ...{ cursor, project, change: null, gate: null, approval: null },
      session: { cursor, kind: 'session.changed', at, ...state },
    });
    this.doorbells.send(LOG_CHANNEL, id);
    return cursor;
  }

  /** An entry of another program. */
  addForeign(): void {
    this.#added += 1;
    const cursor = `${START + this.#added}-0`;
    this.#entries.push({ cursor, project: null, change: null, gate: null, approval: null, session: null });
  }

  /** Removes all entries, as the age of the log does. */
  trim(): void {
    this.#entries = [];
  }

  /** Redis begins a new log. */
  lose(): void {
    this.#entries = [];
    this.#id += ', replaced';
    this.doorbells.send(LOG_CHANNEL, '');
  }

  async id(): Promise<string> {
    return this.#id;
  }

  async newest(): Promise<string> {
    return this.#entries.at(-1)?.cursor ?? '0-0';
  }

  async after(cursor: string, limit: number): Promise<readonly LogEntry[]> {
    this.reads += 1;
    const at = this.#entries.findIndex((entry) => entry.cursor === cursor);
    if (at < 0 && cursor !== '0-0') throw new AppError('events.expired', 'it is gone');
    return this.#entries.slice(at + 1, at + 1 + limit);
  }
}
