import type { OptionSpecs } from './arguments.ts';
import type { Command } from './command.ts';
import { EXIT, EXIT_MEANINGS } from './exit-codes.ts';

const pad = (text: string, width: number): string => text.padEnd(width);

function aligned(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 3;
  return rows.map(([left, right]) => `  ${pad(left, width)}${right}`).join('\n');
}

/** The text of `bullpen --help`. */
export function generalHelp(commands: readonly Command[]): string {
  return `bullpen: runs coding-agent CLIs as background jobs

Usage: bullpen COMMAND [OPTIONS]

${aligned(commands.map(({ name, usage, summary }) => [`${name} ${usage}`.trim(), summary] as const))}

  bullpen COMMAND --help says more; bullpen --version prints the version.

The server is found by BULLPEN_URL and BULLPEN_TOKEN, else by the data folder (BULLPEN_HOME).
Settings are BULLPEN_* variables over the file that --config or BULLPEN_CONFIG names, else over
~/.config/bullpen/config.yaml; nothing is read from the current folder.

Exit codes:
${aligned(exitRows())}
`;
}

/**
 * The text of `bullpen COMMAND --help`.
 * @param everywhere the options of every command
 */
export function commandHelp(command: Command, everywhere: OptionSpecs): string {
  const { name, usage, summary, details, options, examples } = command;
  const parts = [
    `Usage: bullpen ${name} ${usage}`.trimEnd(),
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`,
  ];
  if (details !== undefined) parts.push(details);
  parts.push(`Options:\n${aligned(optionRows({ ...options, ...everywhere }))}`);
  if (examples.length > 0) parts.push(`Examples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
  return `${parts.join('\n\n')}\n`;
}

function optionRows(options: OptionSpecs): readonly (readonly [string, string])[] {
  return Object.entries(options).map(([name, { short, value, multiple = false, help }]) => {
    const flag = `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
    return [flag, multiple ? `${help}; may be repeated` : help] as const;
  });
}

const exitRows = (): readonly (readonly [string, string])[] =>
  Object.entries(EXIT_MEANINGS).map(([name, meaning]) => {
    const code = EXIT[name as keyof typeof EXIT]; // the keys of one are those of the other
    return [String(code), meaning] as const;
  });
