/** The session document of the API. */
import type { CliProcess } from '../protocol/server-info.ts';
import { type Session, sessionLinks } from '../protocol/session.ts';
import type { SessionRecord } from '../records/session-ports.ts';
import type { SessionRow } from '../store/session-rows.ts';

/** @param processes of CLIs on this server */
export function toSession(row: SessionRow, processes: readonly CliProcess[]): Session {
  const { explicit: _, ...shown } = row;
  const live = processes.find(({ sessionId, alive }) => sessionId === row.id && alive);
  return {
    ...shown,
    process: live === undefined ? null : { pid: live.pid, since: live.since },
    links: sessionLinks(row.id),
  };
}

/** A record as a row of the copies, which have its usage. */
export function rowOf(record: SessionRecord, usage: SessionRow['usage']): SessionRow {
  const { id, kind, explicit, name, status, statusReason, project, principal, options, node } = record;
  return {
    ...{ id, kind, explicit, name, status, statusReason, project, principal, node, usage },
    provider: options.provider,
    model: options.model ?? null,
    cwd: options.cwd,
    nativeSessionId: record.nativeSessionId,
    matchedLine: record.matchedLine,
    terminal: record.terminal && { ...record.terminal, command: options.command ?? null },
    turns: record.turns,
    forkedFrom: record.fork?.sessionId ?? null,
    createdAt: timeOf(record.createdAt),
    lastActivityAt: timeOf(record.lastActivityAt),
    closedAt: record.closedAt === null ? null : timeOf(record.closedAt),
    tags: [...record.tags],
    metadata: { ...record.metadata },
  };
}

const timeOf = (ms: number): string => new Date(ms).toISOString();
