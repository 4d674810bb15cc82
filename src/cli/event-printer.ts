import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import { allowingCommand, deniedTools } from './denials.ts';
import { formatDuration } from './duration.ts';
import { outcomeLine } from './outcome-line.ts';
import type { Output } from './output.ts';

const MAX_SHOWN = 120;

/** Shows a job as it runs. */
export interface EventPrinter {
  event(event: StoredEvent): void;
  /** The last words: what was not said yet of the answer, what went wrong, and the outcome in one line. */
  end(job: Job): void;
}

/** The text to stdout as it comes; a line to stderr for each thing beside it that happens. */
export function createEventPrinter(output: Output): EventPrinter {
  /** Deltas of the block under way were shown; the whole block that follows them says nothing new. */
  let streamed = false;
  let blockEnded = false;
  let saidAnything = false;
  const dim = (line: string): void => output.note(line, 'dim');

  function say(text: string): void {
    if (text === '') return;
    if (blockEnded) output.freshLine();
    blockEnded = false;
    saidAnything = true;
    output.text(text);
  }

  return {
    event(event) {
      switch (event.kind) {
        case 'text.delta':
          streamed = true;
          return say(event.text);
        case 'text':
          if (!streamed) say(event.text);
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
        case 'retry':
          return dim(`retry ${event.retry}${wait(event.delayMs)}: ${short(event.reason)}`);
        case 'warning':
          return output.note(`warning: ${event.message}`, 'yellow');
        case 'rate_limit':
          if (event.status.startsWith('allowed')) return;
          return output.note(`rate limit: ${event.status}${until(event.resetsAt)}`, 'yellow');
        case 'job.scheduled':
          return dim(`waits (${event.waitReason}) until ${event.scheduledFor}`);
        case 'job.running':
          if (event.attempt <= 1) return;
          // What an earlier attempt had said before it broke off is no part of the answer.
          [streamed, blockEnded, saidAnything] = [false, true, false];
          return dim(`attempt ${event.attempt}`);
        default: // among them kinds that a newer server has
      }
    },
    end(job) {
      const { outcome, status } = job;
      if (!saidAnything && outcome !== null && status === 'succeeded') say(answerOf(outcome));
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

/** What a job answered: its text, or its structured value where it has no text. */
export function answerOf(outcome: { readonly text: string; readonly structured: unknown }): string {
  if (outcome.text !== '' || outcome.structured === null) return outcome.text;
  return JSON.stringify(outcome.structured);
}

const wait = (ms: number | null): string => (ms === null ? '' : ` in ${formatDuration(ms)}`);
const until = (resetsAt: string | null): string => (resetsAt === null ? '' : ` (until ${resetsAt})`);

function short(value: unknown): string {
  const line = (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).trim();
  const flat = line.slice(0, MAX_SHOWN * 4).replaceAll(/\s+/g, ' ');
  return flat.length <= MAX_SHOWN ? flat : `${flat.slice(0, MAX_SHOWN - 1)}…`;
}
