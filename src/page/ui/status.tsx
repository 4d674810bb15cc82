/** The state of a job or a session, as a word and a colour. */

interface Look {
  readonly look: '' | 'good' | 'bad' | 'warn' | 'info';
  readonly live?: boolean;
}

const JOB: Readonly<Record<string, Look>> = {
  queued: { look: '' },
  scheduled: { look: '' },
  waiting: { look: 'warn' },
  running: { look: 'info', live: true },
  succeeded: { look: 'good' },
  failed: { look: 'bad' },
  cancelled: { look: '' },
};
const SESSION: Readonly<Record<string, Look>> = {
  starting: { look: 'info', live: true },
  awaiting_auth: { look: 'warn' },
  ready: { look: 'good' },
  busy: { look: 'info', live: true },
  awaiting_input: { look: 'warn' },
  interrupted: { look: '' },
  closed: { look: '' },
  failed: { look: 'bad' },
};
/** Why a job waits. */
const REASONS: Readonly<Record<string, string>> = {
  delayed: 'until its time',
  backoff: 'before the next attempt',
  quota: 'for a usage limit',
  budget: 'for the budget',
  approval: 'for an approval',
  paused: 'paused',
  node: 'for its server',
  session: 'for the turn before it',
  concurrency_key: 'for a job of its key',
};

export const WAIT_REASONS: readonly string[] = Object.keys(REASONS);

/** Why a job waits, in words; empty: it does not. */
export const waitText = (why: string | null): string => (why === null ? '' : (REASONS[why] ?? why));

/** `why` is the reason of a wait. */
export function JobStatusBadge({
  status,
  why = null,
}: {
  readonly status: string;
  readonly why?: string | null;
}) {
  const reason = why === null ? '' : ` ${REASONS[why] ?? why}`;
  return <Badge {...(JOB[status] ?? { look: '' })} text={`${status}${reason}`} />;
}

export const SessionStatusBadge = ({ status }: { readonly status: string }) => (
  <Badge {...(SESSION[status] ?? { look: '' })} text={status.replaceAll('_', ' ')} />
);

const Badge = ({ look, live = false, text }: Look & { readonly text: string }) => (
  <span class={`badge dot ${look}${live ? ' live' : ''}`}>{text}</span>
);
