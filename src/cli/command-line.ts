/** From what was typed to one command and its exit code. */
import { accessSync, constants, existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DEFAULT_SLEEP } from '../client/calls.ts';
import { createClient } from '../client/client.ts';
import { configFile, LOCAL_CONFIG } from '../config/places.ts';
import { type Arguments, parseArguments } from './arguments.ts';
import type { Command, CommandContext, OwnServer } from './command.ts';
import { CommandError, noServer, usageError } from './command-error.ts';
import { COMMANDS } from './commands.ts';
import { EXIT } from './exit-codes.ts';
import { failureMessage } from './failure-message.ts';
import type { ServerFinder, ServerPlace } from './find-server.ts';
import { commandHelp, generalHelp } from './help.ts';
import type { Interrupts } from './interrupts.ts';
import { nearest } from './nearest.ts';
import { createOutput, type Output, type Sink } from './output.ts';
import { readStdin, type Stdin } from './read-stdin.ts';
import { APPEARS_WITHIN_MS, findServer } from './server-for-job.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface CommandLineOptions {
  readonly env: Environment;
  readonly cwd: string;
  readonly version: string;
  readonly stdin: Stdin;
  /** Default: 3000. */
  readonly stdinPatienceMs?: number;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** With `--config`, the environment of each of these names that file. */
  finder(env: Environment): ServerFinder;
  serve(env: Environment): Promise<number>;
  startServer(options: {
    readonly cwd: string;
    readonly jobIn?: string;
    readonly env: Environment;
  }): Promise<OwnServer>;
  /** Notes in the data folder that this user works in a folder. */
  allowFolder(home: string, folder: string): Promise<void>;
  readonly interrupts: Interrupts;
  /** Default: the clock. */
  now?(): Date;
  /** Default: real time. */
  sleep?: CommandContext['sleep'];
}

/** Where a server can be looked for and started again, a broken stream is not resumed for long. */
const LOCAL_RESUME_MS = [250, 500, 1000];

const STDIN_WAITS = 'waiting for the end of stdin; for an empty one: < /dev/null';
const STDIN_LEFT = 'stdin is open and holds nothing yet: going on without it; `< /dev/null` spares the wait';

const EVERYWHERE = {
  config: {
    type: 'string',
    value: 'FILE',
    help: 'file of settings (BULLPEN_CONFIG); default: ~/.config/bullpen/config.yaml',
  },
  help: { type: 'boolean', short: 'h', help: 'this text' },
} as const;

/** Runs one command to its end. Never rejects: what goes wrong is said on stderr. Resolves with the exit code. */
export async function runCommandLine(args: readonly string[], options: CommandLineOptions): Promise<number> {
  const output = createOutput(options);
  let place: ServerPlace | null = null;
  const contextOf = (env: Environment): CommandContext => {
    const own = options.finder(env);
    const finder: ServerFinder = {
      ...own,
      async find() {
        const found = await own.find();
        place = found.kind === 'found' ? found.place : null;
        return found;
      },
    };
    const context: CommandContext = {
      output,
      finder,
      interrupts: options.interrupts,
      env,
      cwd: options.cwd,
      version: options.version,
      now: options.now ?? (() => new Date()),
      sleep: options.sleep ?? DEFAULT_SLEEP,
      serve: () => options.serve(env),
      startServer: (folders) => options.startServer({ ...folders, env }),
      readStdin: (what) =>
        readStdin(options.stdin, what, options.stdinPatienceMs ?? 3000, (waits) =>
          output.note(waits ? STDIN_WAITS : STDIN_LEFT, 'yellow'),
        ),
      async allowFolder(folder) {
        const home = await finder.home();
        if (home !== null) await options.allowFolder(home, folder);
      },
      client: ({ url, token, of }) =>
        createClient({ url, token, ...(of === 'environment' ? {} : { resumeDelaysMs: LOCAL_RESUME_MS }) }),
      async connect() {
        const found = await findServer(context, APPEARS_WITHIN_MS);
        if (found.kind === 'none') throw noServer(found);
        return context.client(found.place);
      },
    };
    return context;
  };
  try {
    const command = chosen(args, options.version, output);
    if (command === null) return EXIT.succeeded;
    const env = withConfig(command.args, options, output);
    return await command.run(contextOf(env), command.args);
  } catch (error) {
    const { text, exitCode } = failureMessage(error, place);
    output.freshLine();
    output.say(`bullpen: ${text}`, 'red');
    return exitCode;
  }
}

/** The command and its arguments; null when a text was asked for, which has been printed then. */
function chosen(
  args: readonly string[],
  version: string,
  output: Output,
): (Pick<Command, 'run'> & { readonly args: Arguments }) | null {
  const [name, ...rest] = commandFirst(args);
  if (name === '--version' || name === '-v' || name === '-V') {
    output.text(`${version}\n`);
    return null;
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const [topic] = rest;
    output.text(topic === undefined ? generalHelp(COMMANDS) : commandHelp(commandNamed(topic), EVERYWHERE));
    return null;
  }
  const command = commandNamed(name);
  const parsed = parseArguments(rest, { ...command.options, ...EVERYWHERE });
  if (!parsed.flag('help')) return { run: command.run, args: parsed };
  output.text(commandHelp(command, EVERYWHERE));
  return null;
}

/** `--config FILE` may come before the command, too. */
function commandFirst(args: readonly string[]): readonly string[] {
  const [first = ''] = args;
  const taken = first === '--config' ? 2 : Number(first.startsWith('--config='));
  return [...args.slice(taken, taken + 1), ...args.slice(0, taken), ...args.slice(taken + 1)];
}

/**
 * The environment with the file of settings that `--config` names.
 * @throws CommandError when a file was named that cannot be read
 */
function withConfig(args: Arguments, { env, cwd }: CommandLineOptions, output: Output): Environment {
  const given = args.text('config');
  if (given === '') throw usageError('--config takes a file');
  const chosenEnv = given === undefined ? env : { ...env, BULLPEN_CONFIG: resolve(cwd, given) };
  const { path, named } = configFile(chosenEnv, cwd);
  if (named) {
    try {
      accessSync(path, constants.R_OK);
    } catch (error) {
      throw new CommandError(EXIT.config, `the file of settings ${path} cannot be read`, { cause: error });
    }
  } else if (existsSync(join(cwd, LOCAL_CONFIG))) {
    output.note(
      `${LOCAL_CONFIG} in this folder is not read; if it is yours, name it: --config ${LOCAL_CONFIG}`,
      'dim',
    );
  }
  return chosenEnv;
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
