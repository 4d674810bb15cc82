/**
 * Prints the events of a job for people: its text to stdout, one line for each other event to
 * stderr.
 */
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import { formatDuration, formatTime } from './format.ts';
import { allowingCommand, answerOf, deniedTools, outcomeLine } from './outcome.ts';
import type { Output } from './output.ts';

const MAX_SHOWN = 120;

export interface EventPrinter {
  event(event: StoredEvent): void;
  /** Prints the answer if no event had it, the error, the denied tools and the outcome line. */
  end(job: Job): void;
}

export function createEventPrinter(output: Output): EventPrinter {
  /** Deltas of the current block were printed, so the whole block that follows them is not. */
  let streamed = false;
  let blockEnded = false;
  let hasPrintedText = false;
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
        case 'job.running':
          if (event.attempt <= 1) return;
          // The text of an earlier attempt is not part of the answer.
          [streamed, blockEnded, hasPrintedText] = [false, true, false];
          return dim(`attempt ${event.attempt}`);
        default: // other kinds, including those of a newer server
      }
    },
    end(job) {
      const { outcome, status } = job;
      if (!hasPrintedText && outcome !== null && status === 'succeeded') printText(answerOf(outcome));
      output.freshLine();
      const error = outcome?.error ?? null;
      if (error !== null) output.note(`${error.code}: ${error.message}${until(error.resetsAt)}`, 'red');
      for (const denied of deniedTools(job)) output.note(`denied without asking: ${denied}`, 'yellow');
      const allowing = allowingCommand(job);
      if (allowing !== null) output.note(`to allow it: ${allowing}`, 'yellow');
      output.note(outcomeLine(job), status === 'succeeded' ? 'green' : 'red');
    },
  };
}

const delay = (ms: number | null): string => (ms === null ? '' : ` in ${formatDuration(ms)}`);
const until = (resetsAt: string | null): string => (resetsAt === null ? '' : ` (until ${resetsAt})`);

function short(value: unknown): string {
  const line = (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).trim();
  const flat = line.slice(0, MAX_SHOWN * 4).replaceAll(/\s+/g, ' ');
  return flat.length <= MAX_SHOWN ? flat : `${flat.slice(0, MAX_SHOWN - 1)}…`;
}
