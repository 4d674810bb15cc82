import type { StoredEvent } from '../../src/protocol/event.ts';
import type { Screen } from './screen.ts';

const MAX_SHOWN = 100;

/**
 * Prints a job's events: its text as it comes, its tool calls and how it goes on, one line each.
 */
export function createEventPrinter(screen: Screen): (event: StoredEvent) => void {
  /**
   * Deltas of the block under way were printed; the whole block that follows them says nothing new.
   */
  let streamed = false;

  return (event) => {
    switch (event.kind) {
      case 'job.queued':
        return screen.detail('queued');
      case 'job.running':
        return screen.detail(
          `running: a sandboxed worker asked, the executor took it (attempt ${event.attempt})`,
        );
      case 'execution.started':
        return screen.detail(
          `${event.provider}${event.version === null ? '' : ` ${event.version}`} started, pid ${event.pid}`,
        );
      case 'text.delta':
        streamed = true;
        return screen.stream(event.text);
      case 'text':
        if (!streamed) screen.stream(event.text);
        streamed = false;
        return;
      case 'tool.started':
        return screen.detail(`tool ${event.name} ${short(JSON.stringify(event.input))}`);
      case 'tool.ended':
        return screen.detail(
          `tool ${event.name ?? ''} ${event.isError ? 'failed' : 'answered'}: ${short(event.output)}`,
        );
      case 'api_retry':
      case 'warning':
        return screen.detail(`${event.kind}: ${event.kind === 'api_retry' ? event.reason : event.message}`);
      case 'job.finished':
        return screen.detail('finished');
      default:
    }
  };
}

function short(text: string): string {
  const line = text.trim().replaceAll(/\s+/g, ' ');
  return line.length <= MAX_SHOWN ? line : `${line.slice(0, MAX_SHOWN)}…`;
}
