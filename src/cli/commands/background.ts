/** The commands for the server in the background: up, down. */
import type { JobListQuery } from '../../client/answers.ts';
import type { Client } from '../../client/client.ts';
import type { Command, CommandContext, StartingServer } from '../command.ts';
import { CommandError, EXIT, type ExitCode, usageError } from '../failures.ts';
import { runningServer } from '../find-server.ts';

const LOOK_EVERY_MS = 250;
/** The first start fetches Redis. */
const STARTS_WITHIN_MS = 300_000;
/** How many running jobs are named. */
const MAX_NAMED = 5;

export const upCommand: Command = {
  name: 'up',
  usage: '',
  summary: 'start a server in the background, unless one runs',
  details: `Starts \`bullpen serve\` as a systemd unit of this user where there is systemd, else as a
process of its own, and waits until it accepts jobs. It keeps running after the
terminal is closed. Unless the settings name folders, its jobs run in the
current folder and in those in which this user types bullpen commands. Prints
the address on stdout.`,
  options: {},
  examples: ['cd ~/my-project && bullpen up', 'bullpen down'],
  async run(context, { positionals }) {
    if (positionals.length > 0) throw usageError(`up takes no arguments, not ${positionals.join(' ')}`);
    const home = await dataFolder(context, 'up');
    const before = await runningServer(context);
    if (before.kind === 'running') {
      const { of, client } = before;
      if (of === 'run') {
        const why = 'a `bullpen run` has started a server for its job; try again when that has ended';
        throw new CommandError(EXIT.unavailable, why);
      }
      const stop = of === 'up' ? '; stop it with: bullpen down' : '';
      return report(context, client, `a server runs already${stop}`);
    }
    const starting = await context.background.start();
    const client = await untilReady(context, starting);
    const { unit, logFile } = starting;
    const as = unit === null ? '' : `, as the systemd unit ${unit} of this user`;
    const lines = [
      `the server runs in the background${as}`,
      `page: ${client.url}/; token: ${home}/token; log: ${logFile}`,
      'stop it with: bullpen down',
    ];
    return report(context, client, lines.join('\n'));
  },
};

function report({ output }: CommandContext, { url }: Client, lines: string): number {
  output.text(`${url}\n`);
  output.noteLines(lines, 'dim');
  return EXIT.succeeded;
}

/** @throws CommandError with the exit code of the server when it ends */
async function untilReady(context: CommandContext, starting: StartingServer): Promise<Client> {
  const { finder, output, sleep } = context;
  let problem = 'it does not answer';
  for (let waitedMs = 0; waitedMs < STARTS_WITHIN_MS; waitedMs += LOOK_EVERY_MS) {
    output.status('starting the server');
    const exitCode = await starting.exitCode();
    const found = await finder.find();
    if (found.kind === 'found') {
      const client = context.client(found.place);
      const state = await client.ready().catch(() => null);
      if (state?.ready === true) return client;
      if (state !== null) problem = problemIn(state.checks);
    } else if (exitCode !== null) {
      // Another `up` may have been faster.
      const other = await runningServer(context);
      if (other.kind === 'running') return other.client;
      const why = starting.reason() || `no reason was given; see ${starting.logFile}`;
      throw new CommandError((exitCode || EXIT.failed) as ExitCode, `the server did not start: ${why}`); // as: a server ends with one of them
    }
    await sleep(LOOK_EVERY_MS);
  }
  const advice = `see ${starting.logFile}; stop it with: bullpen down`;
  throw new CommandError(EXIT.unavailable, `the server is not ready: ${problem}; ${advice}`);
}

const problemIn = (
  checks: Readonly<Record<string, { readonly ok: boolean; readonly detail: string | null }>>,
) =>
  Object.entries(checks)
    .filter(([, { ok }]) => !ok)
    .map(([name, { detail }]) => `${name}: ${detail ?? 'does not work'}`)
    .join(', ');

export const downCommand: Command = {
  name: 'down',
  usage: '[--force]',
  summary: 'stop the server in the background',
  details: `The server refuses new jobs, and its running jobs have some time to end
(BULLPEN_DRAIN_MS); queued jobs wait for the next server. The command returns when
the server has stopped; Ctrl-C leaves it to stop by itself.`,
  options: { force: { type: 'boolean', help: 'interrupt the running jobs' } },
  examples: ['bullpen down'],
  async run(context, args) {
    if (args.positionals.length > 0) throw usageError('down takes no arguments');
    await dataFolder(context, 'down');
    const { output, sleep } = context;
    const server = await context.background.find();
    if (server === null || server.startedBy === 'run') {
      output.note('no server runs in the background', 'dim');
      return EXIT.succeeded;
    }
    const { pid } = server;
    if (server.startedBy === 'serve') {
      const why = `the server (pid ${pid}) was started by \`bullpen serve\``;
      throw new CommandError(EXIT.failed, `${why}; stop it there, or with: kill ${pid}`);
    }
    const jobs = await runningJobs(context);
    server.stop();
    const waiting = `stopping the server (pid ${pid})${jobs === '' ? '' : `; it waits for ${jobs}`}`;
    output.note(waiting, 'dim');
    while (server.isRunning()) {
      await sleep(LOOK_EVERY_MS);
      if (args.flag('force')) server.stop(); // a second signal ends the time for running jobs
    }
    await server.forget();
    output.note('stopped', 'dim');
    return EXIT.succeeded;
  },
};

/** `2 running jobs: 01K…, 01K…`; empty when none runs, or the server does not answer. */
async function runningJobs(context: CommandContext): Promise<string> {
  const found = await context.finder.find();
  if (found.kind === 'none') return '';
  const query: JobListQuery = { status: ['running'], limit: 100 };
  const page = await context
    .client(found.place)
    .list(query)
    .catch(() => null);
  if (page === null || page.data.length === 0) return '';
  const named = page.data.slice(0, MAX_NAMED).map(({ id }) => id);
  const more = page.data.length > MAX_NAMED ? ', …' : '';
  return `${page.data.length} running job${page.data.length === 1 ? '' : 's'}: ${named.join(', ')}${more}`;
}

/** @throws CommandError when BULLPEN_URL names a server, which has no data folder here */
async function dataFolder({ finder }: CommandContext, name: string): Promise<string> {
  const home = await finder.home();
  if (home !== null) return home;
  throw usageError(`${name} is for the server of this user's data folder; unset BULLPEN_URL`);
}
