import type { RunningExecution, WaitingProcessReport } from '../../protocol/server-info.ts';
import type { Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { formatAge } from '../duration.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, renderTable } from '../table.ts';

export const executionsCommand: Command = {
  name: 'executions',
  usage: '[--json]',
  summary: 'list what runs on the server now, what it uses, and which processes wait for a prompt',
  options: { json: { type: 'boolean', help: '{data: […], waiting: […]}' } },
  examples: ['bullpen executions'],
  async run(context, args) {
    if (args.positionals.length > 0) throw usageError('executions takes no arguments');
    const { data, waiting } = await (await context.connect()).executions();
    const { output } = context;
    if (args.flag('json')) output.json({ data, waiting }, 2);
    else {
      if (data.length === 0) output.note('nothing runs', 'dim');
      else output.text(`${renderTable(COLUMNS, data, output.width).join('\n')}\n`);
      if (waiting.length > 0) {
        output.note('waiting for a prompt:', 'dim');
        output.text(`${renderTable(WAITING, waiting, output.width).join('\n')}\n`);
      }
    }
    return EXIT.succeeded;
  },
};

const number = (value: number | null, format: (value: number) => string = String): string =>
  value === null ? '' : format(value);

const COLUMNS: readonly Column<RunningExecution>[] = [
  { title: 'JOB', cell: ({ jobId }) => jobId },
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  { title: 'ATTEMPT', cell: ({ attempt }) => String(attempt), right: true },
  { title: 'PID', cell: ({ pid }) => String(pid), right: true },
  { title: 'AGE', cell: ({ ageMs }) => formatAge(ageMs), right: true },
  { title: 'IDLE', cell: ({ idleMs }) => formatAge(idleMs), right: true },
  { title: 'MEMORY', cell: ({ memoryBytes }) => number(memoryBytes, mebibytes), right: true },
  {
    title: 'CPU',
    cell: ({ cpuSeconds }) => number(cpuSeconds, (value) => `${value.toFixed(1)}s`),
    right: true,
  },
  { title: 'FILES', cell: ({ openFiles }) => number(openFiles), right: true },
  { title: 'PROCESSES', cell: ({ processes }) => number(processes), right: true },
];

const WAITING: readonly Column<WaitingProcessReport>[] = [
  { title: 'PROVIDER', cell: ({ provider }) => provider },
  { title: 'FOR', cell: ({ sessionId }) => (sessionId === null ? 'any' : `session ${sessionId}`) },
  { title: 'PID', cell: ({ pid }) => String(pid), right: true },
  { title: 'SINCE', cell: ({ waitingMs }) => formatAge(waitingMs), right: true },
  { title: 'MEMORY', cell: ({ memoryBytes }) => number(memoryBytes, mebibytes), right: true },
  { title: 'FOLDER', cell: ({ cwd }) => cwd },
];

const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
