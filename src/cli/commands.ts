/** Every command, and the help that is made from them. */
import type { OptionSpecs } from './arguments.ts';
import type { Command } from './command.ts';
import { answerCommand, approvalsCommand, approveCommand, denyCommand } from './commands/approvals.ts';
import { auditCommand } from './commands/audit.ts';
import { downCommand, upCommand } from './commands/background.ts';
import { batchCommand } from './commands/batch.ts';
import { changeCommand } from './commands/change.ts';
import { chatCommand } from './commands/chat.ts';
import { doctorCommand } from './commands/doctor.ts';
import { eventsCommand } from './commands/events.ts';
import { executorCommand } from './commands/executor.ts';
import { cancelCommand, retryCommand, showCommand, watchCommand } from './commands/job.ts';
import { jobsCommand } from './commands/jobs.ts';
import { keysCommand } from './commands/keys.ts';
import { loginCommand, logoutCommand } from './commands/login.ts';
import { logsCommand } from './commands/logs.ts';
import { openCommand } from './commands/open.ts';
import { nodesCommand, queueCommand } from './commands/queue.ts';
import { runCommand } from './commands/run.ts';
import { providersCommand, psCommand, serveCommand } from './commands/server.ts';
import { sessionsCommand } from './commands/sessions.ts';
import { settingsCommand } from './commands/settings.ts';
import { attachCommand, replayCommand, terminalCommand } from './commands/terminal.ts';
import { usageCommand } from './commands/usage.ts';
import { EXIT, EXIT_MEANINGS } from './failures.ts';

/** In the order of the help. */
export const COMMANDS: readonly Command[] = [
  upCommand,
  downCommand,
  serveCommand,
  executorCommand,
  logsCommand,
  openCommand,
  runCommand,
  chatCommand,
  terminalCommand,
  attachCommand,
  replayCommand,
  batchCommand,
  jobsCommand,
  showCommand,
  watchCommand,
  eventsCommand,
  cancelCommand,
  changeCommand,
  retryCommand,
  sessionsCommand,
  approvalsCommand,
  approveCommand,
  denyCommand,
  answerCommand,
  queueCommand,
  providersCommand,
  psCommand,
  nodesCommand,
  keysCommand,
  loginCommand,
  logoutCommand,
  auditCommand,
  usageCommand,
  settingsCommand,
  doctorCommand,
];

/** The help fits a terminal of this many columns. */
const HELP_WIDTH = 80;

/** The text of `bullpen --help`. */
export function generalHelp(): string {
  return `bullpen runs coding-agent CLIs as background jobs

Usage: bullpen COMMAND [OPTIONS]

${twoColumns(COMMANDS.map(({ name, summary }) => [name, summary]))}

bullpen COMMAND --help explains a command; bullpen --version prints the version.

BULLPEN_URL and BULLPEN_TOKEN name the server and the token, instead of which
\`bullpen login\` can store one. Without BULLPEN_URL, the server of the data
folder (BULLPEN_HOME) is used. Settings come from BULLPEN_* variables, then
from the file that --config or BULLPEN_CONFIG names, or else from
~/.config/bullpen/config.yaml. No settings are read from the current folder.

Exit codes:
${twoColumns(exitCodes())}
`;
}

const exitCodes = (): readonly Row[] =>
  Object.entries(EXIT_MEANINGS).map(([name, meaning]) => {
    const code = EXIT[name as keyof typeof EXIT]; // both tables have the same keys
    return [String(code), meaning.replaceAll('`', '')];
  });

/**
 * The text of `bullpen COMMAND --help`.
 * @param common the options that every command has
 */
export function commandHelp(command: Command, common: OptionSpecs): string {
  const { name, usage, summary, details, options, examples } = command;
  const parts = [
    `Usage: bullpen ${name} ${usage}`.trimEnd(),
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`,
  ];
  for (const paragraph of details?.split('\n\n') ?? []) {
    parts.push(wrapped(paragraph.replaceAll('\n', ' '), 0, HELP_WIDTH));
  }
  parts.push(`Options:\n${twoColumns(optionRows({ ...options, ...common }))}`);
  if (examples.length > 0) parts.push(`Examples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
  return `${parts.join('\n\n')}\n`;
}

function optionRows(options: OptionSpecs): readonly Row[] {
  return Object.entries(options).map(([name, { short, value, multiple = false, help }]) => {
    const flag = `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
    return [flag, multiple ? `${help} (repeatable)` : help];
  });
}

type Row = readonly [left: string, right: string];

/** Aligned rows; the right column is wrapped. */
function twoColumns(rows: readonly Row[]): string {
  const indent = 2 + Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows
    .map(([left, right]) => `  ${left}`.padEnd(indent) + wrapped(right, indent, HELP_WIDTH))
    .join('\n');
}

/** @param indent columns before each line but the first */
function wrapped(text: string, indent: number, width: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${' '.repeat(indent)}`);
}
