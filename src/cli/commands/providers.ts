import type { ProviderReport } from '../../protocol/server-info.ts';
import type { Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, renderTable } from '../table.ts';

export const providersCommand: Command = {
  name: 'providers',
  usage: '[--json]',
  summary: 'list the CLIs: which are there, logged in, and what to do',
  options: { json: { type: 'boolean', help: '{data: […]}, with what each can do' } },
  examples: ['bullpen providers', "bullpen providers --json | jq '.data[] | select(.available)'"],
  async run(context, args) {
    if (args.positionals.length > 0) throw usageError('providers takes no arguments');
    const data = await (await context.connect()).providers();
    const { output } = context;
    if (args.flag('json')) output.json({ data }, 2);
    else output.text(`${renderTable(COLUMNS, data, output.width).join('\n')}\n`);
    for (const { name, todo } of args.flag('json') ? [] : data) {
      if (todo !== null) output.note(`${name}: ${todo}`, 'yellow');
    }
    return EXIT.succeeded;
  },
};

const COLUMNS: readonly Column<ProviderReport>[] = [
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
