/** The commands for the server as a whole: serve, providers, executions. */
import { AppError } from '../../errors.ts';
import type { IdleProcessReport, ProviderReport, RunningExecution } from '../../protocol/server-info.ts';
import type { Command } from '../command.ts';
import { CommandError, EXIT, usageError } from '../failures.ts';
import { type Column, formatAge, renderTable } from '../format.ts';

export const serveCommand: Command = {
  name: 'serve',
  usage: '',
  summary: 'run the server: HTTP API, workers, executor',
  details: `Runs until SIGTERM or Ctrl-C, and lets running jobs end. Jobs run in the current
folder, unless BULLPEN_CWD and BULLPEN_ROOTS name others. The log goes to stdout:
readable lines on a terminal, JSON elsewhere.`,
  options: {},
  examples: ['cd ~/my-project && bullpen serve', 'PORT=4000 BULLPEN_CONCURRENCY=2 bullpen serve'],
  async run({ serve }, { positionals }) {
    if (positionals.length > 0) throw usageError(`serve takes no arguments, not ${positionals.join(' ')}`);
    try {
      return await serve();
    } catch (error) {
      // docs/operations.md: exit code 1 unless a setting is wrong.
      if (!(error instanceof AppError) || error.code.startsWith('config.')) throw error;
      throw new CommandError(EXIT.failed, error.message, { cause: error });
    }
  },
};

export const providersCommand: Command = {
  name: 'providers',
  usage: '[--json]',
  summary: 'list the agent CLIs: installed, logged in, what to do',
  options: { json: { type: 'boolean', help: 'print {data: […]}, with what each CLI can do' } },
  examples: ['bullpen providers', "bullpen providers --json | jq '.data[] | select(.available)'"],
  async run(context, args) {
    if (args.positionals.length > 0) throw usageError('providers takes no arguments');
    const data = await (await context.connect()).providers();
    const { output } = context;
    if (args.flag('json')) output.json({ data }, 2);
    else output.text(`${renderTable(PROVIDER_COLUMNS, data, output.width).join('\n')}\n`);
    for (const { name, todo } of args.flag('json') ? [] : data) {
      if (todo !== null) output.note(`${name}: ${todo}`, 'yellow');
    }
    return EXIT.succeeded;
  },
};

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
    title: 'CIRCUIT',
    cell: ({ circuit, circuitOpenUntil }) =>
      circuitOpenUntil === null ? circuit : `${circuit} until ${circuitOpenUntil}`,
  },
  { title: 'WHY', cell: ({ why }) => why ?? '' },
];

export const executionsCommand: Command = {
  name: 'executions',
  usage: '[--json]',
  summary: 'list running executions and idle processes',
  options: { json: { type: 'boolean', help: 'print {data: […], waiting: […]}' } },
  examples: ['bullpen executions'],
  async run(context, args) {
    if (args.positionals.length > 0) throw usageError('executions takes no arguments');
    const { data, waiting } = await (await context.connect()).executions();
    const { output } = context;
    if (args.flag('json')) output.json({ data, waiting }, 2);
    else {
      if (data.length === 0) output.note('no executions are running', 'dim');
      else output.text(`${renderTable(EXECUTION_COLUMNS, data, output.width).join('\n')}\n`);
      if (waiting.length > 0) {
        output.note('idle processes:', 'dim');
        output.text(`${renderTable(IDLE_COLUMNS, waiting, output.width).join('\n')}\n`);
      }
    }
    return EXIT.succeeded;
  },
};

const EXECUTION_COLUMNS: readonly Column<RunningExecution>[] = [
  { title: 'JOB', cell: ({ jobId }) => jobId },
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  { title: 'ATTEMPT', cell: ({ attempt }) => String(attempt), right: true },
  { title: 'PID', cell: ({ pid }) => String(pid), right: true },
  { title: 'AGE', cell: ({ ageMs }) => formatAge(ageMs), right: true },
  { title: 'IDLE', cell: ({ idleMs }) => formatAge(idleMs), right: true },
  { title: 'MEMORY', cell: ({ memoryBytes }) => orBlank(memoryBytes, mebibytes), right: true },
  { title: 'CPU', cell: ({ cpuSeconds }) => orBlank(cpuSeconds, seconds), right: true },
  { title: 'FILES', cell: ({ openFiles }) => orBlank(openFiles, String), right: true },
  { title: 'PROCESSES', cell: ({ processes }) => orBlank(processes, String), right: true },
];

const IDLE_COLUMNS: readonly Column<IdleProcessReport>[] = [
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  { title: 'FOR', cell: ({ sessionId }) => (sessionId === null ? 'any' : `session ${sessionId}`) },
  { title: 'PID', cell: ({ pid }) => String(pid), right: true },
  { title: 'SINCE', cell: ({ waitingMs }) => formatAge(waitingMs), right: true },
  { title: 'MEMORY', cell: ({ memoryBytes }) => orBlank(memoryBytes, mebibytes), right: true },
  { title: 'FOLDER', cell: ({ cwd }) => cwd },
];

const orBlank = (value: number | null, format: (value: number) => string): string =>
  value === null ? '' : format(value);
const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
const seconds = (value: number): string => `${value.toFixed(1)}s`;
