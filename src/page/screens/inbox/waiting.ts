/** What waits for a person. */
import type { Approval } from '../../../protocol/approval.ts';
import type { JobListItem } from '../../../protocol/job.ts';
import type { ProviderReport } from '../../../protocol/server-info.ts';
import { type Changed, client, may } from '../../server.ts';

type Credential = ProviderReport['credentials'][number];

export interface Waiting {
  /** The oldest one first. */
  readonly approvals: readonly Approval[];
  /** Logins that jobs cannot use now. */
  readonly credentials: readonly Credential[];
  /** Failures that are not archived, the latest one first. */
  readonly failures: readonly JobListItem[];
  /** There are more failures. */
  readonly more: boolean;
  /** How much a person can do something about, for the navigation; empty: nothing. */
  readonly count: string;
}

const MOST = 100;

export async function waitingForYou(signal: AbortSignal): Promise<Waiting> {
  const [approvals, failures, providers] = await Promise.all([
    may('approvals:read') ? client.approvals.list({ status: 'pending', limit: MOST }, { signal }) : null,
    may('jobs:read') ? client.list({ status: ['failed'], archived: false, limit: MOST }, { signal }) : null,
    client.providers({ signal }),
  ]);
  const found = {
    approvals: approvals?.data ?? [],
    credentials: unusable(providers),
    failures: failures?.data ?? [],
  };
  const more = (failures?.nextCursor ?? null) !== null;
  return { ...found, more, count: countText(found, more || (approvals?.nextCursor ?? null) !== null) };
}

/** Providers may share a credential: each is named once. */
function unusable(providers: readonly ProviderReport[]): readonly Credential[] {
  const all = providers.flatMap(({ credentials }) => credentials).filter(({ status }) => status !== 'ok');
  return [...new Map(all.map((one) => [one.name, one])).values()];
}

/** A limit passes by itself, and a pause was meant: neither counts. */
export function countText(
  { approvals, credentials, failures }: Pick<Waiting, 'approvals' | 'credentials' | 'failures'>,
  more: boolean,
): string {
  const refused = credentials.filter(({ status }) => status === 'refused').length;
  const count = approvals.length + failures.length + refused;
  return count === 0 ? '' : more ? `${MOST}+` : String(count);
}

/** Whether a change of the server may change what waits. Most changes do not. */
export function concernsWaiting(change: Changed): boolean {
  if (change.kind === 'snapshot' || change.kind === 'approval.changed') return true;
  if (change.kind === 'cursor') return false;
  if ('gate' in change) return /^(credential|provider|queue)/.test(change.gate);
  return change.status === 'failed';
}
