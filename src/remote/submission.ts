/** What an executor on another host gets to know of an execution. */
import type { EarlierExecutions } from '../executor/earlier.ts';
import type { Background } from '../executor/turn.ts';
import type { RemoteBackground, Submission } from '../protocol/executor-service.ts';
import type { Grant } from '../protocol/grant.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Claim } from '../records/ports.ts';

/** The id under which an executor knows an execution: it starts one process for each. */
export const remoteIdOf = (executionId: string, isFallback: boolean): string =>
  isFallback ? `${executionId}-fallback` : executionId;

/** @param request with its folder's name and its times as the settings of the server allow */
export function submissionOf(
  { executionId, jobId, attempt, kind, sessionId, principal }: Claim,
  {
    request,
    grants,
    background,
    isFallback,
  }: {
    readonly request: ResolvedPrompt;
    readonly grants: readonly Grant[];
    readonly background: Background;
    readonly isFallback: boolean;
  },
): Submission {
  return {
    id: remoteIdOf(executionId, isFallback),
    ...{ jobId, attempt, kind, sessionId, principal, request },
    grants: grants.map(copyOf),
    background: backgroundFor(background),
  };
}

const backgroundFor = ({ session, fork, earlier }: Background): RemoteBackground => ({
  ...{ session, fork },
  earlier: { ...earlier, since: sinceOf(earlier) },
});

/** JSON has no infinity. */
const sinceOf = ({ since }: EarlierExecutions): number | null => (Number.isFinite(since) ? since : null);

const copyOf = ({
  providers,
  roots,
  tools,
  permissionModes,
  depth,
}: Grant): Submission['grants'][number] => ({
  providers: providers === null ? null : [...providers],
  roots: roots === null ? null : [...roots],
  tools: tools === null ? null : [...tools],
  permissionModes: permissionModes === null ? null : [...permissionModes],
  depth,
});
