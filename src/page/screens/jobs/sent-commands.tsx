/** What the form of a new job sends, as commands. */
import type { Job } from '../../../protocol/job.ts';
import { client } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { CopyCode } from '../../ui/copy.tsx';
import { bullpenOf, curl } from './commands.ts';

interface SentCommandsProps {
  readonly prompts: readonly string[];
  readonly body: object;
  readonly retried: Job | null;
}

/** The same with curl, and with the command line. */
export function SentCommands({ prompts, body, retried }: SentCommandsProps) {
  const [prompt = ''] = prompts;
  const several = prompts.length > 1;
  const changed = { ...body, ...(retried?.prompt === prompt ? {} : { prompt }) };
  const path = retried !== null ? `/v1/jobs/${retried.id}/retry` : several ? '/v1/batches' : '/v1/jobs';
  const sent = several
    ? { prompts: prompts.map((one) => ({ ...body, prompt: one })) }
    : retried !== null
      ? { from: 'start', ...changed }
      : { prompt, ...body };
  const { command, left } = bullpenOf(changed, retried?.id ?? null);
  return (
    <details class="group">
      <summary>As a command</summary>
      <div class="stack commands">
        <CopyCode text={curl(['-X', 'POST', `${client.url}${path}`], sent)} what="the curl command" />
        {!several && <CopyCode text={command} what="the bullpen command" />}
        {!several && <LeftOut fields={left} />}
      </div>
    </details>
  );
}

/** Names the fields of a request that the command above leaves out. */
export const LeftOut = ({ fields }: { readonly fields: readonly string[] }) =>
  fields.length === 0 ? null : (
    <p class="soft">The bullpen command leaves out {visibleText(fields.join(', '))}.</p>
  );
