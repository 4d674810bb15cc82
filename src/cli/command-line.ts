/** From what was typed to one command and its exit code. */
import { DEFAULT_SLEEP } from '../client/calls.ts';
import { createClient } from '../client/client.ts';
import { parseArguments } from './arguments.ts';
import type { Command, CommandContext, ServerStarter } from './command.ts';
import { CommandError, noServer, usageError } from './command-error.ts';
import { COMMANDS } from './commands.ts';
import { EXIT } from './exit-codes.ts';
import { failureMessage } from './failure-message.ts';
import type { ServerFinder, ServerPlace } from './find-server.ts';
import { commandHelp, generalHelp } from './help.ts';
import type { Interrupts } from './interrupts.ts';
import { nearest } from './nearest.ts';
import { createOutput, type Sink } from './output.ts';

export interface CommandLineOptions extends ServerStarter {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly version: string;
  readonly stdin: AsyncIterable<Buffer> & { readonly isTTY?: boolean };
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly finder: ServerFinder;
  readonly interrupts: Interrupts;
  /** Default: the clock. */
  now?(): Date;
  /** Default: real time. */
  sleep?: CommandContext['sleep'];
}

const HELP = { help: { type: 'boolean', short: 'h', help: 'this text' } } as const;

/** Runs one command to its end. Never rejects: what goes wrong is said on stderr. Resolves with the exit code. */
export async function runCommandLine(args: readonly string[], options: CommandLineOptions): Promise<number> {
  const output = createOutput(options);
  let place: ServerPlace | null = null;
  const finder: ServerFinder = {
    ...options.finder,
    async find() {
      const found = await options.finder.find();
      place = found.kind === 'found' ? found.place : null;
      return found;
    },
  };
  const context: CommandContext = {
    output,
    finder,
    interrupts: options.interrupts,
    env: options.env,
    cwd: options.cwd,
    version: options.version,
    now: options.now ?? (() => new Date()),
    sleep: options.sleep ?? DEFAULT_SLEEP,
    serve: options.serve,
    startServer: options.startServer,
    readStdin: () => readAll(options.stdin),
    client: createClient,
    async connect() {
      const found = await finder.find();
      if (found.kind === 'none') throw noServer(found.why);
      return createClient(found.place);
    },
  };
  try {
    return await dispatch(args, context);
  } catch (error) {
    const { text, exitCode } = failureMessage(error, place);
    output.freshLine();
    output.say(`bullpen: ${text}`, 'red');
    return exitCode;
  }
}

async function dispatch(args: readonly string[], context: CommandContext): Promise<number> {
  const [name, ...rest] = args;
  const { output } = context;
  if (name === '--version' || name === '-v' || name === '-V') {
    output.text(`${context.version}\n`);
    return EXIT.succeeded;
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const [topic] = rest;
    output.text(topic === undefined ? generalHelp(COMMANDS) : commandHelp(commandNamed(topic)));
    return EXIT.succeeded;
  }
  const command = commandNamed(name);
  const parsed = parseArguments(rest, { ...command.options, ...HELP });
  if (parsed.flag('help')) {
    output.text(commandHelp(command));
    return EXIT.succeeded;
  }
  return command.run(context, parsed);
}

function commandNamed(name: string): Command {
  const found = COMMANDS.find((command) => command.name === name);
  if (found !== undefined) return found;
  const meant = nearest(
    name,
    COMMANDS.map((command) => command.name),
  );
  const hint = meant === null ? 'bullpen --help lists them' : `did you mean ${meant}?`;
  throw usageError(`there is no command ${name}; ${hint}`);
}

async function readAll(stdin: CommandLineOptions['stdin']): Promise<string | null> {
  if (stdin.isTTY === true) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(chunk);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    throw new CommandError(EXIT.usage, 'stdin holds something else than UTF-8 text', { cause: error });
  }
}
