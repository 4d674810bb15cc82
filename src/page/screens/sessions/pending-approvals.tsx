/** What the session waits for a person with, answered in its place. */
import { useLoad } from '../../load.ts';
import { type Changed, client, may } from '../../server.ts';
import { ApprovalsHere } from '../inbox/approvals-here.tsx';

interface PendingProps {
  readonly sessionId: string;
  readonly isOwn: (change: Changed) => boolean;
}

export function PendingApprovals({ sessionId, isOwn }: PendingProps) {
  const { data, reload } = useLoad(
    async (signal) =>
      may('approvals:read')
        ? (await client.approvals.list({ status: 'pending', sessionId, limit: 100 }, { signal })).data
        : [],
    [sessionId],
    isOwn,
  );
  return <ApprovalsHere approvals={data ?? []} onOver={reload} />;
}
