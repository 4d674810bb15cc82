/** The approvals of one job or session, answered on its own screen. */
import { useState } from 'preact/hooks';
import type { Approval } from '../../../protocol/approval.ts';
import { Boundary } from '../../ui/boundary.tsx';
import { ApprovalCard } from './approval-card.tsx';

interface ApprovalsHereProps {
  readonly approvals: readonly Approval[];
  /** One was decided, here or elsewhere. */
  readonly onOver: () => void;
}

export function ApprovalsHere({ approvals, onOver }: ApprovalsHereProps) {
  const [currentId, setCurrentId] = useState<string | null>(null);
  if (approvals.length === 0) return null;
  return (
    <section class="stack approvals-here" aria-labelledby="pending">
      <h2 id="pending" class="visually-hidden">
        It waits for your answer
      </h2>
      {approvals.map((approval) => (
        <Boundary key={approval.id}>
          <ApprovalCard
            approval={approval}
            current={approval.id === currentId}
            onFocus={() => setCurrentId(approval.id)}
            onOver={onOver}
          />
        </Boundary>
      ))}
    </section>
  );
}
