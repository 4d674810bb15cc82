/** Short lines of a transcript: what happened around the texts and the tool calls. */
import type { SessionStoredEvent, StoredEvent } from '../../protocol/event.ts';
import { formatDuration, formatTime } from '../format.ts';
import { errorWords } from '../ui/error-words.ts';

export type Tone = 'quiet' | 'info' | 'warn' | 'bad';

export interface Notice {
  readonly tone: Tone;
  readonly text: string;
  readonly detail: string | null;
}

const STARTS = {
  cold: '',
  warm: ', in a process that was ready',
  session: ', in the process of the session',
};
const WAITS: Readonly<Record<string, string>> = {
  delayed: 'Waits for its time',
  backoff: 'Waits before the next attempt',
  quota: 'Waits for a usage limit',
  budget: 'Waits for the budget',
  approval: 'Waits for an approval, without a process',
};

/** Null: the event says nothing that a reader of the transcript needs. */
export function noticeOf(event: StoredEvent | SessionStoredEvent): Notice | null {
  switch (event.kind) {
    case 'job.scheduled':
      return {
        tone: 'info',
        text: `${WAITS[event.waitReason] ?? 'Waits'}, until ${formatTime(event.scheduledFor)}`,
        detail: null,
      };
    case 'job.waiting':
      return { tone: 'info', text: WAITS[event.waitReason] ?? `Waits: ${event.waitReason}`, detail: null };
    case 'execution.started': {
      const version = event.version === null ? '' : ` ${event.version}`;
      const attempt = event.attempt > 1 ? `Attempt ${event.attempt}: ` : '';
      const text = `${attempt}${event.provider}${version} started${STARTS[event.start] ?? ''}`;
      return { tone: 'quiet', text, detail: null };
    }
    case 'execution.finished': {
      const { error, permissionDenials } = event.outcome;
      const denied = permissionDenials.map(({ tool }) => tool);
      if (denied.length > 0)
        return {
          tone: 'warn',
          text: `Denied: ${[...new Set(denied)].join(', ')}`,
          detail: error?.message ?? null,
        };
      // That it waits for an answer is said by the wait itself.
      return error === null || error.code === 'execution.awaiting_approval'
        ? null
        : { tone: 'bad', text: `The execution ended: ${errorWords(error.code)}`, detail: error.message };
    }
    case 'api_retry': {
      const times = event.maxRetries === null ? '' : ` of ${event.maxRetries}`;
      const wait = event.delayMs === null ? '' : ` in ${formatDuration(event.delayMs)}`;
      const status = event.status === null ? '' : ` (HTTP ${event.status})`;
      return {
        tone: 'warn',
        text: `The model's API failed${status}; retry ${event.retry}${times}${wait}`,
        detail: event.reason === '' ? null : event.reason,
      };
    }
    case 'rate_limit': {
      if (event.status === 'allowed') return null;
      const name = event.limit === null ? 'Usage limit' : `Usage limit ${event.limit}`;
      const use = event.use === null ? '' : `, ${Math.round(event.use * 100)} % used`;
      const until = event.resetsAt === null ? '' : `, open again at ${formatTime(event.resetsAt)}`;
      return { tone: 'warn', text: `${name}: ${event.status}${use}${until}`, detail: null };
    }
    case 'warning':
      return { tone: 'warn', text: event.message, detail: event.code };
    case 'session.status':
      return event.status === 'failed' || event.status === 'interrupted'
        ? { tone: 'warn', text: `The session is ${event.status}`, detail: event.reason }
        : null;
    default:
      return null;
  }
}
