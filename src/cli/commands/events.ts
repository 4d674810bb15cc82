import type { Client } from '../../client/client.ts';
import type { ApprovalChange, Change, GateChange } from '../../protocol/change.ts';
import type { Command, CommandContext } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { noServer, runningServer } from '../find-server.ts';
import { hasLeft, RESTARTS_WITHIN_MS } from '../job-server.ts';
import { statusOf } from './jobs.ts';

export const eventsCommand: Command = {
  name: 'events',
  usage: '[--after CURSOR] [OPTIONS]',
  summary: 'show every change of every job, as it comes',
  details: `Begins now, or after the change with CURSOR; --after 0 begins with the first change
that the server keeps. Goes on until Ctrl-C, over broken connections and restarts of the
server; then it prints the cursor to go on from.`,
  options: {
    after: { type: 'string', value: 'CURSOR', help: 'go on after this change' },
    status: { type: 'string', multiple: true, value: 'STATUS', help: 'changes to this status only' },
    batch: { type: 'string', value: 'ID', help: 'jobs of this batch only' },
    json: { type: 'boolean', help: 'print NDJSON: the events, including those that are only a cursor' },
  },
  examples: ['bullpen events', "bullpen events --status failed --json | jq -r '.jobId // empty'"],
  async run(context, args) {
    if (args.positionals.length > 0) throw usageError('events takes options; `bullpen watch ID` shows a job');
    const status = args.list('status').map(statusOf);
    const [after, batch] = [args.text('after'), args.text('batch')];
    const stop = new AbortController();
    using _listening = context.interrupts.listen(() => stop.abort());
    let cursor = after ?? null;
    let client = await context.connect();
    for (;;) {
      const place = cursor === null ? {} : { after: cursor };
      const filter = { ...(status.length > 0 && { status }), ...(batch !== undefined && { batch }) };
      try {
        for await (const change of client.changes({ ...place, ...filter, signal: stop.signal })) {
          if (cursor === null) context.output.note('every change from now on; Ctrl-C stops', 'dim');
          cursor = change.cursor;
          if (args.flag('json')) context.output.json(change);
          else if (change.kind !== 'cursor') context.output.text(`${changeLine(change)}\n`);
        }
      } catch (error) {
        const over = stop.signal.aborted || hasLeft(error);
        if (over && cursor !== null) {
          context.output.note(`to go on: bullpen events --after ${cursor}`, 'dim');
        }
        if (stop.signal.aborted) return EXIT.cancelled;
        client = await nextServer(context, error);
      }
    }
  },
};

/**
 * The server of the data folder, once it has started again.
 * @throws `error` when the server still runs, or was named by BULLPEN_URL
 */
async function nextServer(context: CommandContext, error: unknown): Promise<Client> {
  if (!hasLeft(error) || (await context.finder.home()) === null) throw error;
  const running = await runningServer(context, RESTARTS_WITHIN_MS);
  if (running.kind === 'none') throw noServer(running);
  return running.client;
}

/** `12:03:04 01K9… scheduled (backoff until 12:03:09), attempt 1`; times in UTC. */
function changeLine(change: Exclude<Change, { kind: 'cursor' }>): string {
  if ('gate' in change) return gateLine(change);
  if (change.kind === 'approval.changed') return approvalLine(change);
  if (change.kind === 'session.changed')
    return `${timeIn(change.at)} ${change.sessionKind ?? 'session'} ${change.sessionId} ${change.status}`;
  const { kind, at, jobId, status, waitReason, scheduledFor, attempts, cancelRequested } = change;
  const until = scheduledFor === null ? '' : ` until ${timeIn(scheduledFor)}`;
  const state = [
    ...(kind === 'job.created' ? ['created'] : []),
    waitReason === null ? status : `${status} (${waitReason}${until})`,
    ...(cancelRequested && status === 'running' ? ['cancel requested'] : []),
    ...(attempts > 1 ? [`attempt ${attempts}`] : []),
  ];
  return `${timeIn(at)} ${jobId} ${kind === 'job.deleted' ? 'deleted' : state.join(', ')}`;
}

/** `12:03:04 credential:claude:work closed (quota until 12:30:00)` */
function gateLine({ kind, at, gate, reason, until }: GateChange): string {
  if (kind === 'gate.opened') return `${timeIn(at)} ${gate} opened`;
  return `${timeIn(at)} ${gate} closed (${reason}${until === null ? '' : ` until ${timeIn(until)}`})`;
}

/** `12:03:04 01K9… asks: approval 01K9…`, later `approval 01K9… allowed`. */
function approvalLine({ at, jobId, approvalId, status }: ApprovalChange): string {
  const what = status === 'pending' ? `asks: approval ${approvalId}` : `approval ${approvalId} ${status}`;
  return `${timeIn(at)} ${jobId} ${what}`;
}

const timeIn = (moment: string): string => moment.slice(11, 19);
