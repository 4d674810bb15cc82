/** The commands for the server as a whole: serve, providers, ps. */
import { AppError } from '../../errors.ts';
import type { CliProcess, CredentialReport, ProviderReport } from '../../protocol/server-info.ts';
import type { Command } from '../command.ts';
import { CommandError, EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, renderTable } from '../format.ts';

export const serveCommand: Command = {
  name: 'serve',
  usage: '[--background]',
  summary: 'run the server: HTTP API, workers, executor',
  details: `Runs until SIGTERM or Ctrl-C, and lets running jobs end. Jobs run in the current
folder, unless BULLPEN_CWD and BULLPEN_ROOTS name others. The log goes to stdout:
readable lines on a terminal, JSON elsewhere.`,
  options: {
    background: {
      type: 'boolean',
      help: 'as `bullpen up` starts it: jobs also run in the folders of your commands',
    },
  },
  examples: ['cd ~/my-project && bullpen serve', 'BULLPEN_PORT=4000 BULLPEN_CONCURRENCY=2 bullpen serve'],
  async run({ serve }, args) {
    const { positionals } = args;
    if (positionals.length > 0) throw usageError(`serve takes no arguments, not ${positionals.join(' ')}`);
    return untilStopped(serve(args.flag('background')));
  },
};

/** The exit code of a server: 1 unless a setting is wrong (docs/operations.md). */
export async function untilStopped(running: Promise<number>): Promise<number> {
  try {
    return await running;
  } catch (error) {
    if (!(error instanceof AppError) || error.code.startsWith('config.')) throw error;
    throw new CommandError(EXIT.failed, error.message, { cause: error });
  }
}

export const providersCommand: Command = {
  name: 'providers',
  usage: '[--json] | cleanup NAME | resume NAME',
  summary: 'list the agent CLIs: installed, logged in, what to do',
  details: `\`cleanup\` ends the idle processes of a provider. \`resume\` lets jobs use a limited or
refused credential before its time; NAME is a credential, or a provider for all of its
credentials.`,
  options: { json: { type: 'boolean', help: 'print {data: […]}, with what each CLI can do' } },
  examples: ['bullpen providers', "bullpen providers --json | jq '.data[] | select(.available)'"],
  async run(context, args) {
    const { output } = context;
    const [action, name, ...more] = args.positionals;
    const known = action === 'cleanup' || action === 'resume';
    if (action !== undefined && (!known || name === undefined || more.length > 0))
      throw usageError('providers takes no arguments, `cleanup NAME` or `resume NAME`');
    const client = await context.connect();
    if (name !== undefined && action === 'resume') {
      const opened = await client.resumeProvider(name);
      if (args.flag('json')) output.json({ opened }, 2);
      else output.note(`credentials of ${name} that may be used again: ${opened}`);
      return EXIT.succeeded;
    }
    if (name !== undefined) {
      const ended = await client.cleanUpProvider(name);
      if (args.flag('json')) output.json({ ended }, 2);
      else output.note(`idle processes of ${name} that were ended: ${ended}`);
      return EXIT.succeeded;
    }
    const data = await client.providers();
    if (args.flag('json')) output.json({ data }, 2);
    else output.text(`${renderTable(PROVIDER_COLUMNS, data, output.width).join('\n')}\n`);
    for (const { name, todo } of args.flag('json') ? [] : data) {
      if (todo !== null) output.note(`${name}: ${todo}`, 'yellow');
    }
    return EXIT.succeeded;
  },
};

const credentialText = ({ name, status, limitedUntil }: CredentialReport): string =>
  [name, status, ...(limitedUntil === null ? [] : [`until ${limitedUntil}`])].join(' ');

const PROVIDER_COLUMNS: readonly Column<ProviderReport>[] = [
  { title: 'NAME', cell: ({ name }) => name },
  {
    title: 'INSTALLED',
    cell: ({ available, version }) => (available ? (version ?? 'yes') : 'no'),
    maxWidth: 30,
  },
  { title: 'LOGGED IN', cell: ({ available, authenticated }) => (available ? authenticated : '') },
  {
    title: 'RUNNING',
    cell: ({ running, concurrency }) =>
      concurrency === null ? String(running) : `${running}/${concurrency}`,
    right: true,
  },
  {
    title: 'CREDENTIALS',
    cell: ({ credentials }) => credentials.map(credentialText).join(', '),
  },
  { title: 'WHY', cell: ({ why }) => why ?? '' },
];

export const psCommand: Command = {
  name: 'ps',
  usage: '[--provider NAME] [--json] | terminate ID [--force]',
  summary: 'list the processes of CLIs, or end one',
  details: `A process runs a job, or is idle and waits for a prompt. \`terminate\` cancels the job
that a process runs, or ends an idle process.`,
  options: {
    provider: { type: 'string', value: 'NAME', help: 'processes of this provider' },
    force: { type: 'boolean', help: 'terminate: kill at once, without a grace period' },
    json: { type: 'boolean', help: 'print the answer as JSON' },
  },
  examples: ['bullpen ps', 'bullpen ps --provider claude', 'bullpen ps terminate 01K9ZV4Q4S9V0M0X2T6D8Y3B7C'],
  async run(context, args) {
    const { output } = context;
    const [action, id, ...more] = args.positionals;
    if (action !== undefined && (action !== 'terminate' || id === undefined || more.length > 0))
      throw usageError('ps takes no arguments, or `terminate ID`');
    const client = await context.connect();
    if (id !== undefined) {
      const ended = await client.terminateProcess(id, { force: args.flag('force') });
      if (args.flag('json')) output.json(ended, 2);
      else output.note(`process ${ended.pid} of ${ended.provider} is being terminated`);
      return EXIT.succeeded;
    }
    const provider = args.text('provider');
    const { data, summary } = await client.processes(provider === undefined ? {} : { provider });
    if (args.flag('json')) output.json({ data, summary }, 2);
    else if (data.length === 0) output.note('no processes', 'dim');
    else {
      output.text(`${renderTable(PROCESS_COLUMNS, data, output.width).join('\n')}\n`);
      output.note(`${summary.alive} alive, ${summary.dead} dead`, 'dim');
    }
    return EXIT.succeeded;
  },
};

const PROCESS_COLUMNS: readonly Column<CliProcess>[] = [
  { title: 'ID', cell: ({ id }) => id },
  { title: 'STATE', cell: ({ state, alive }) => (alive ? state : 'dead') },
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  {
    title: 'FOR',
    cell: ({ jobId, sessionId }) =>
      jobId !== null ? `job ${jobId}` : sessionId !== null ? `session ${sessionId}` : 'any job',
  },
  { title: 'PID', cell: ({ pid }) => String(pid), right: true },
  { title: 'AGE', cell: ({ ageMs }) => formatAge(ageMs), right: true },
  { title: 'IDLE', cell: ({ idleMs }) => formatAge(idleMs), right: true },
  { title: 'MEMORY', cell: ({ memoryBytes }) => orBlank(memoryBytes, mebibytes), right: true },
  { title: 'CPU', cell: ({ cpuSeconds }) => orBlank(cpuSeconds, seconds), right: true },
  { title: 'FILES', cell: ({ openFiles }) => orBlank(openFiles, String), right: true },
  { title: 'PROCESSES', cell: ({ processes }) => orBlank(processes, String), right: true },
  { title: 'FOLDER', cell: ({ cwd }) => cwd },
];

const orBlank = (value: number | null, format: (value: number) => string): string =>
  value === null ? '' : format(value);
const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
const seconds = (value: number): string => `${value.toFixed(1)}s`;
