/**
 * Prints the events of a job for people: its text to stdout, one line for each other event to
 * stderr.
 */
import type { Approval } from '../protocol/approval.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import { approvalTitle } from './approval-view.ts';
import { formatDuration, formatTime } from './format.ts';
import { allowingCommand, answerOf, deniedTools, outcomeLine, turnLine } from './outcome.ts';
import type { Output } from './output.ts';

const MAX_SHOWN = 120;

export interface EventPrinter {
  event(event: StoredEvent): void;
  /** Prints the answer if no event had it, the error, the denied tools and the outcome line. */
  end(job: Job): void;
}

export interface PrinterOptions {
  /** Whether the person is asked what the job asks. Default: the commands for it are shown. */
  readonly asks?: boolean;
  /** Whether it is a turn of a chat, with a shorter last line. */
  readonly isTurn?: boolean;
}

export function createEventPrinter(
  output: Output,
  { asks = false, isTurn = false }: PrinterOptions = {},
): EventPrinter {
  /** Deltas of the current block were printed, so the whole block that follows them is not. */
  let streamed = false;
  let blockEnded = false;
  let hasPrintedText = false;
  /** The job waited for a person, without a process. */
  let waited = false;
  const dim = (line: string): void => output.note(line, 'dim');

  function printText(text: string): void {
    if (text === '') return;
    if (blockEnded) output.freshLine();
    blockEnded = false;
    hasPrintedText = true;
    output.text(text);
  }

  return {
    event(event) {
      switch (event.kind) {
        case 'text.delta':
          streamed = true;
          return printText(event.text);
        case 'text':
          if (!streamed) printText(event.text);
          streamed = false;
          blockEnded = true;
          return;
        case 'tool.started':
          blockEnded = true;
          return dim(`tool ${event.name} ${short(event.input)}`);
        case 'tool.ended':
          blockEnded = true;
          return dim(
            `tool ${event.name ?? ''} ${event.isError ? 'failed' : 'answered'}: ${short(event.output)}`,
          );
        case 'api_retry':
          return dim(`retry ${event.retry}${delay(event.delayMs)}: ${short(event.reason)}`);
        case 'warning':
          return output.note(`warning: ${event.message}`, 'yellow');
        case 'rate_limit':
          if (event.status.startsWith('allowed')) return;
          return output.note(`rate limit: ${event.status}${until(event.resetsAt)}`, 'yellow');
        case 'job.scheduled':
          if (event.waitReason === 'quota')
            return output.note(
              `limit until ${formatTime(new Date(event.scheduledFor), new Date())}`,
              'yellow',
            );
          return dim(`waits (${event.waitReason}) until ${event.scheduledFor}`);
        case 'approval.requested':
          blockEnded = true;
          if (asks) return;
          return output.note(`waits for an answer: ${commandsFor(event.approval)}`, 'yellow');
        case 'approval.decided':
          if (asks) return;
          return dim(`${event.status}${event.decidedBy === null ? '' : ` by ${event.decidedBy}`}`);
        case 'job.waiting':
          waited = event.waitReason === 'approval';
          return dim(
            waited ? 'the job waits for an answer, without a process' : `waits (${event.waitReason})`,
          );
        case 'message.delivered':
          return dim('the running turn has your message');
        case 'job.running':
          if (event.attempt <= 1) return;
          // The text of an earlier attempt is not part of the answer.
          [streamed, blockEnded, hasPrintedText] = [false, true, false];
          dim(waited ? 'the job goes on' : `attempt ${event.attempt}`);
          waited = false;
          return;
        default: // other kinds, including those of a newer server
      }
    },
    end(job) {
      const { outcome, status } = job;
      if (!hasPrintedText && outcome !== null && status === 'succeeded') printText(answerOf(outcome));
      output.freshLine();
      const error = outcome?.error ?? null;
      const wanted = isTurn && error?.code === 'execution.interrupted';
      if (error !== null && !wanted)
        output.note(`${error.code}: ${error.message}${until(error.resetsAt)}`, 'red');
      if (isTurn) {
        output.noteLines(`${turnLine(job)}\n`, status === 'failed' ? 'red' : 'dim');
        return;
      }
      for (const denied of deniedTools(job)) output.note(`denied without asking: ${denied}`, 'yellow');
      const allowing = allowingCommand(job);
      if (allowing !== null) output.note(`to allow it: ${allowing}`, 'yellow');
      output.note(outcomeLine(job), status === 'succeeded' ? 'green' : 'red');
    },
  };
}

/** `Bash git push (bullpen approve ID, or bullpen deny ID)` */
function commandsFor(approval: Approval): string {
  const { id, kind } = approval;
  const commands =
    kind === 'question' ? `bullpen answer ${id} TEXT` : `bullpen approve ${id}, or bullpen deny ${id}`;
  return `${approvalTitle(approval)} (${commands})`;
}

const delay = (ms: number | null): string => (ms === null ? '' : ` in ${formatDuration(ms)}`);
const until = (resetsAt: string | null): string => (resetsAt === null ? '' : ` (until ${resetsAt})`);

function short(value: unknown): string {
  const line = (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).trim();
  const flat = line.slice(0, MAX_SHOWN * 4).replaceAll(/\s+/g, ' ');
  return flat.length <= MAX_SHOWN ? flat : `${flat.slice(0, MAX_SHOWN - 1)}…`;
}
