/** Runs the command that was typed. */
import { accessSync, constants, existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DEFAULT_SLEEP } from '../client/calls.ts';
import { createClient } from '../client/client.ts';
import { configFile, LOCAL_CONFIG } from '../config/places.ts';
import { type Arguments, nearest, parseArguments } from './arguments.ts';
import type { Background, Command, CommandContext, ServerFolders, TemporaryServer } from './command.ts';
import { COMMANDS, commandHelp, generalHelp } from './commands.ts';
import { CommandError, EXIT, failureMessage, usageError } from './failures.ts';
import {
  APPEARS_WITHIN_MS,
  findServer,
  noServer,
  type ServerFinder,
  type ServerPlace,
} from './find-server.ts';
import type { Interrupts } from './interrupts.ts';
import { createLineEditor, type Terminal } from './line-editor.ts';
import { createOutput, type Output, type Sink } from './output.ts';
import type { PersonTerminal } from './person-terminal.ts';
import { linesOf, readHidden, readStdin, type Stdin } from './read-stdin.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface CommandLineOptions {
  readonly env: Environment;
  readonly cwd: string;
  readonly version: string;
  readonly stdin: Stdin;
  /** Default: 3000. */
  readonly stdinPatienceMs?: number;
  /** The terminal of the person who typed the command, also when stdin is another stream. */
  openTerminal(): Terminal | null;
  /** The terminal of stdin and stdout; null: one of them is no terminal. */
  openScreen(): PersonTerminal | null;
  /** Opens an address in the browser of the user; false: this machine has no way to do so. */
  openBrowser(url: string): Promise<boolean>;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /**
   * `env` has the settings file that `--config` names; `serve` and `startServer` get the same.
   */
  finder(env: Environment): ServerFinder;
  serve(env: Environment, background: boolean): Promise<number>;
  serveExecutor(env: Environment): Promise<number>;
  background(env: Environment): Background;
  startServer(options: ServerFolders & { readonly env: Environment }): Promise<TemporaryServer>;
  /** Notes in the data folder that this user works in a folder. */
  allowFolder(home: string, folder: string): Promise<void>;
  readonly interrupts: Interrupts;
  /** Default: the clock. */
  now?(): Date;
  /** Default: real time. */
  sleep?: CommandContext['sleep'];
}

/** A local server is found or started again; its streams are not resumed for long. */
const LOCAL_RESUME_MS = [250, 500, 1000];

const STDIN_WAITS = 'waiting for the end of stdin; for an empty stdin: < /dev/null';
const STDIN_LEFT = 'stdin is open and empty: continuing without it; `< /dev/null` avoids the wait';

const COMMON_OPTIONS = {
  config: {
    type: 'string',
    value: 'FILE',
    help: 'settings file (BULLPEN_CONFIG); default: ~/.config/bullpen/config.yaml',
  },
  help: { type: 'boolean', short: 'h', help: 'print this text' },
} as const;

/**
 * Runs one command and resolves with its exit code. Never rejects: errors are printed on stderr.
 */
export async function runCommandLine(args: readonly string[], options: CommandLineOptions): Promise<number> {
  const output = createOutput(options);
  let place: ServerPlace | null = null;
  try {
    const command = commandOf(args, options.version, output);
    if (command === null) return EXIT.succeeded;
    const env = withConfig(command.args, options, output);
    const context = contextOf(env, options, output, (found) => {
      place = found;
    });
    return await command.run(context, command.args);
  } catch (error) {
    const { text, exitCode } = failureMessage(error, place);
    output.freshLine();
    output.noteLines(`bullpen: ${text}`, 'red');
    return exitCode;
  }
}

function contextOf(
  env: Environment,
  options: CommandLineOptions,
  output: Output,
  onFound: (place: ServerPlace | null) => void,
): CommandContext {
  const { cwd, version, interrupts, stdin, stdinPatienceMs = 3000 } = options;
  const finder = options.finder(env);
  const context: CommandContext = {
    output,
    finder: {
      home: () => finder.home(),
      async find() {
        const found = await finder.find();
        onFound(found.kind === 'found' ? found.place : null);
        return found;
      },
    },
    interrupts,
    env,
    cwd,
    version,
    now: options.now ?? (() => new Date()),
    sleep: options.sleep ?? DEFAULT_SLEEP,
    serve: (background) => options.serve(env, background),
    serveExecutor: () => options.serveExecutor(env),
    background: options.background(env),
    startServer: ({ cwd: folder, jobIn }) => options.startServer({ cwd: folder, jobIn, env }),
    readStdin: (what) =>
      readStdin(stdin, what, stdinPatienceMs, (waits) =>
        output.note(waits ? STDIN_WAITS : STDIN_LEFT, 'yellow'),
      ),
    readHidden(question) {
      if (stdin.isTTY === true) output.note(question);
      return readHidden(stdin);
    },
    stdinLines: (signal) => linesOf(stdin, signal),
    interactive: stdin.isTTY === true,
    openEditor(prompt, onCtrlC = () => void interrupts.raise()) {
      const input = output.live ? options.openTerminal() : null;
      if (input === null) return null;
      return createLineEditor({ input, screen: options.stderr, output, prompt, onCtrlC });
    },
    openScreen: () => options.openScreen(),
    openBrowser: (url) => options.openBrowser(url),
    async allowFolder(folder) {
      const home = await finder.home();
      if (home !== null) await options.allowFolder(home, folder);
    },
    client: ({ url, token, of }) =>
      createClient({
        url,
        token,
        sleep: context.sleep,
        ...(of === 'environment' ? {} : { resumeDelaysMs: LOCAL_RESUME_MS }),
      }),
    async connect() {
      const found = await findServer(context, APPEARS_WITHIN_MS);
      if (found.kind === 'none') throw noServer(found);
      return context.client(found.place);
    },
  };
  return context;
}

/** The command and its arguments; null after the version or a help text was printed. */
function commandOf(
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
    output.text(topic === undefined ? generalHelp() : commandHelp(commandNamed(topic), COMMON_OPTIONS));
    return null;
  }
  const command = commandNamed(name);
  const parsed = parseArguments(rest, { ...command.options, ...COMMON_OPTIONS });
  if (!parsed.flag('help')) return { run: command.run, args: parsed };
  output.text(commandHelp(command, COMMON_OPTIONS));
  return null;
}

/** Moves a `--config FILE` before the command behind it. */
function commandFirst(args: readonly string[]): readonly string[] {
  const [first = ''] = args;
  const taken = first === '--config' ? 2 : Number(first.startsWith('--config='));
  return [...args.slice(taken, taken + 1), ...args.slice(0, taken), ...args.slice(taken + 1)];
}

function commandNamed(name: string): Command {
  const found = COMMANDS.find((command) => command.name === name);
  if (found !== undefined) return found;
  const names = COMMANDS.map((command) => command.name);
  const meant = nearest(name, names);
  const hint = meant === null ? 'bullpen --help lists the commands' : `did you mean ${meant}?`;
  throw usageError(`there is no command ${name}; ${hint}`);
}

/**
 * The environment with the settings file that `--config` names.
 * @throws CommandError for a named file that cannot be read
 */
function withConfig(args: Arguments, { env, cwd }: CommandLineOptions, output: Output): Environment {
  const given = args.text('config');
  if (given === '') throw usageError('--config takes a file');
  const withFile = given === undefined ? env : { ...env, BULLPEN_CONFIG: resolve(cwd, given) };
  const { path, named } = configFile(withFile, cwd);
  if (named) {
    try {
      accessSync(path, constants.R_OK);
    } catch (error) {
      throw new CommandError(EXIT.config, `the settings file ${path} cannot be read`, { cause: error });
    }
  } else if (existsSync(join(cwd, LOCAL_CONFIG))) {
    const advice = `if it is yours, name it: --config ${LOCAL_CONFIG}`;
    output.note(`${LOCAL_CONFIG} in this folder is not read; ${advice}`, 'dim');
  }
  return withFile;
}
