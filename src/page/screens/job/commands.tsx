/** The same by `curl` and by the command line. */
import type { Job } from '../../../protocol/job.ts';
import { client } from '../../server.ts';
import { CopyCode } from '../../ui/copy.tsx';
import { LeftOut } from '../jobs/sent-commands.tsx';
import { commandsOf } from './how.ts';

export function Commands({ job }: { readonly job: Job }) {
  return (
    <div class="stack">
      <p class="soft">
        <code>BULLPEN_TOKEN</code> has your key, and <code>BULLPEN_URL={client.url}</code> names this server.
      </p>
      {commandsOf(job, client.url).map(({ title, curl, bullpen, left }) => (
        <section key={title} class="how">
          <h2>{title}</h2>
          {bullpen !== null && <CopyCode text={bullpen} what={`the command: ${title}`} />}
          <LeftOut fields={left} />
          <CopyCode text={curl} what={`the curl command: ${title}`} />
        </section>
      ))}
    </div>
  );
}
