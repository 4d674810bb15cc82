/** What the job asks of a person now, with the ways to answer that the inbox has. */
import type { Job } from '../../../protocol/job.ts';
import { useLoad } from '../../load.ts';
import { client, may } from '../../server.ts';
import { ApprovalsHere } from '../inbox/approvals-here.tsx';

/** Most approvals that a job has open at the same time. */
const MOST = 100;

export function PendingApprovals({ job }: { readonly job: Job }) {
  const { data, reload } = useLoad(
    async (signal) => {
      if (job.finished || !may('approvals:read')) return [];
      return (await client.approvals.list({ status: 'pending', jobId: job.id, limit: MOST }, { signal }))
        .data;
    },
    [job.id, job.status, job.waitReason],
    (change) => change.kind === 'snapshot' || ('jobId' in change && change.jobId === job.id),
  );
  return <ApprovalsHere approvals={data ?? []} onOver={reload} />;
}
