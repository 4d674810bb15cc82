/** Submissions to a real executor whose CLI is the fake one, and what comes of them. */
import { ulid } from 'ulid';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import type { ExecutionLine, Submission } from '../../../src/protocol/executor-service.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import { NO_BACKGROUND } from '../../../src/remote/executions/without-records.ts';
import type { Step } from '../../fakes/fake-cli-steps.ts';
import type { ExecutorProgram } from '../../helpers/executor-program.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';

export type EventLine = Extract<ExecutionLine, { type: 'event' }>;
export type EndLine = Extract<ExecutionLine, { type: 'ended' }>;

/** A prompt in the workspace of the executor. */
export function submission(
  { workspace }: Pick<ExecutorProgram, 'workspace'>,
  { steps = [], ...request }: Partial<ResolvedPrompt> & { readonly steps?: readonly Step[] } = {},
  rest: Partial<Submission> = {},
): Submission {
  const jobId = ulid();
  return {
    ...{ id: ulid(), jobId, attempt: 1, kind: 'api', sessionId: jobId, principal: 'admin', grants: [] },
    request: resolvedPrompt({ prompt: fakePrompt(steps, 'hello'), cwd: workspace, ...request }),
    background: NO_BACKGROUND,
    ...rest,
  };
}

/** Reads to the end, in as many answers as it takes. */
export async function linesOf(
  { client }: Pick<ExecutorProgram, 'client'>,
  id: string,
  after = 0,
): Promise<{ readonly events: readonly EventLine[]; readonly end: EndLine }> {
  const events: EventLine[] = [];
  const signal = AbortSignal.timeout(60_000);
  for (;;) {
    for await (const line of client.follow(id, events.at(-1)?.n ?? after, signal)) {
      if (line.type === 'event') events.push(line);
      if (line.type === 'ended') return { events, end: line };
    }
  }
}

export const endOf = async (executor: Pick<ExecutorProgram, 'client'>, id: string): Promise<EndLine> =>
  (await linesOf(executor, id)).end;

export const textOf = (events: readonly EventLine[]): string =>
  events.map(({ event }) => (event.kind === 'text.delta' ? event.text : '')).join('');

/** The process of an execution, once it runs. */
export async function startedPid({ client }: Pick<ExecutorProgram, 'client'>, id: string): Promise<number> {
  for await (const line of client.follow(id, 0, AbortSignal.timeout(30_000)))
    if (line.type === 'event' && line.event.kind === 'execution.started') return line.event.pid;
  throw new Error(`the execution ${id} was not started`);
}
