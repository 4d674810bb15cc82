/** The commands that do what the page of a job does. */
import type { Job } from '../../../protocol/job.ts';
import { bullpenOf, curl } from '../jobs/commands.ts';

export interface How {
  readonly title: string;
  readonly curl: string;
  /** Null: the command line has no such command. */
  readonly bullpen: string | null;
  /** Fields of the request that the `bullpen` command has no option for. */
  readonly left: readonly string[];
}

/** @param url the address of the server */
export function commandsOf(job: Job, url: string): readonly How[] {
  const path = `${url}/v1/jobs/${job.id}`;
  const get = (title: string, rest: string, bullpen: string): How => ({
    title,
    curl: curl([`${path}${rest}`]),
    bullpen: `bullpen ${bullpen}`,
    left: [],
  });
  const post = (title: string, to: string, body: object, bullpen: string | null): How => ({
    title,
    curl: curl(['-X', 'POST', to], body),
    bullpen,
    left: [],
  });
  const { command, left } = bullpenOf(job.request);
  const again = {
    ...post('Make the same job: its whole request', `${url}/v1/jobs`, job.request, command),
    left,
  };
  const reading = [
    get('Read the job', '', `show ${job.id}`),
    get('Read its executions', '/executions', `show ${job.id} --executions`),
    { ...get('Follow its events', '/events', `watch ${job.id}`), curl: curl(['-N', `${path}/events`]) },
    { ...get('Read its raw log', '', ''), curl: curl(['-N', `${path}/events?raw=true`]), bullpen: null },
  ];
  const acting = job.finished
    ? [
        post(
          'Retry it from the start: the same job again, with a link to this one',
          `${path}/retry`,
          { from: 'start' },
          `bullpen retry ${job.id} --from start`,
        ),
        ...(job.nativeSessionId === null
          ? []
          : [
              post(
                'Retry it in its session',
                `${path}/retry`,
                { from: 'session' },
                `bullpen retry ${job.id} --from session`,
              ),
            ]),
      ]
    : [
        post('Cancel it', `${path}/cancel`, {}, `bullpen cancel ${job.id}`),
        post('Send a message', `${path}/messages`, { prompt: 'And now a test' }, null),
      ];
  return [again, ...reading, ...acting];
}
