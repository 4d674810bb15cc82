/** The command that shows the settings in force. */
import type { SettingInForce } from '../../protocol/server-info.ts';
import type { Command } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, oneLine, renderTable } from '../format.ts';

const COLUMNS: readonly Column<SettingInForce>[] = [
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'VARIABLE', cell: ({ variable }) => variable ?? '-' },
  { title: 'SOURCE', cell: ({ source }) => source },
  { title: 'VALUE', cell: ({ value }) => oneLine(JSON.stringify(value)) },
];

export const settingsCommand: Command = {
  name: 'settings',
  usage: '[--changed] [--json]',
  summary: 'show the settings of the running server, without secrets',
  options: {
    changed: { type: 'boolean', help: 'only those that the environment or the file sets' },
    json: { type: 'boolean', help: 'print the answer as JSON' },
  },
  examples: ['bullpen settings', 'bullpen settings --changed'],
  async run(context, args) {
    const { output } = context;
    if (args.positionals.length > 0) throw usageError('settings takes options only');
    const all = await (await context.connect()).settings();
    const data = args.flag('changed') ? all.filter(({ source }) => source !== 'default') : all;
    if (args.flag('json')) output.json({ data }, 2);
    else if (data.length === 0) output.note('every setting has its default', 'dim');
    else output.text(`${renderTable(COLUMNS, data, output.width).join('\n')}\n`);
    return EXIT.succeeded;
  },
};
