/** What a command is, and what it works with. */
import type { Client } from '../client/client.ts';
import type { Arguments, OptionSpecs } from './arguments.ts';
import type { ServerFinder, ServerPlace, StartedBy } from './find-server.ts';
import type { Interrupts } from './interrupts.ts';
import type { LineEditor } from './line-editor.ts';
import type { Output } from './output.ts';
import type { PersonTerminal } from './person-terminal.ts';
import type { ReadStdinOptions } from './read-stdin.ts';

/** One command; its help is made from these texts. */
export interface Command {
  readonly name: string;
  /** Its arguments: `ID [--force]`. */
  readonly usage: string;
  /** One line. */
  readonly summary: string;
  /** Paragraphs, separated by empty lines; the help wraps them. */
  readonly details?: string;
  readonly options: OptionSpecs;
  readonly examples: readonly string[];
  /** Resolves with the exit code. */
  run(context: CommandContext, args: Arguments): Promise<number>;
}

export interface CommandContext {
  readonly output: Output;
  readonly finder: ServerFinder;
  readonly interrupts: Interrupts;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The current folder, absolute. */
  readonly cwd: string;
  readonly version: string;
  now(): Date;
  /** Rejects when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** All of stdin; null when there is none. See {@link readStdin}. */
  readStdin(options: ReadStdinOptions): Promise<string | null>;
  /**
   * One line that is typed on the terminal of stdin, without showing it; null: it is no terminal.
   * @param question printed first
   */
  readHidden(question: string): Promise<string | null>;
  /** Lines of stdin as they come, without a terminal. `signal` ends them and closes stdin. */
  stdinLines(signal: AbortSignal): AsyncIterable<string>;
  /** Whether stdin is a terminal. */
  readonly interactive: boolean;
  /**
   * Reads lines from the person at the terminal; null: there is none, or its output is not shown.
   * @param prompt safe to show
   * @param onCtrlC default: an interrupt
   */
  openEditor(prompt: string, onCtrlC?: () => void): LineEditor | null;
  /** The terminal of stdin and stdout, byte for byte; null: one of them is no terminal. */
  openScreen(): PersonTerminal | null;
  /** A client of the running server. @throws CommandError when no server runs */
  connect(): Promise<Client>;
  /** Opens an address in the browser of the user; false: this machine has no way to do so. */
  openBrowser(url: string): Promise<boolean>;
  client(place: Omit<ServerPlace, 'tokenFrom'>): Client;
  /** Runs a server until a signal; resolves with the exit code. See `serve --background`. */
  serve(background: boolean): Promise<number>;
  /** Runs an executor for servers on other hosts until a signal; resolves with the exit code. */
  serveExecutor(): Promise<number>;
  readonly background: Background;
  /**
   * Starts a server for this command on a free port of this host. Other commands find it, too.
   * @throws AppError config.locked while another server has the data folder
   * @throws AppError cwd.not_allowed, before anything starts, when the server could not run jobs in
   * `jobIn`
   */
  startServer(folders: ServerFolders): Promise<TemporaryServer>;
  /** Lets the server of another command run jobs in a folder, unless the settings name roots. */
  allowFolder(folder: string): Promise<void>;
}

/** The server in the background, of `up` and `down`. */
export interface Background {
  /** @throws AppError for wrong settings */
  start(): Promise<StartingServer>;
  /** The process that has the data folder; null for none. */
  find(): Promise<BackgroundServer | null>;
}

export interface StartingServer {
  /** The systemd unit; null: it is a process of its own. */
  readonly unit: string | null;
  readonly logFile: string;
  /** Its exit code once it has ended; null while it runs. */
  exitCode(): Promise<number | null>;
  /** Why it has ended, as its log says; empty when that does not say. */
  reason(): string;
}

export interface BackgroundServer {
  readonly pid: number;
  readonly startedBy: StartedBy;
  isRunning(): boolean;
  /** Sends SIGTERM if it runs. */
  stop(): void;
  /** Removes what a stopped server has left in the configuration of the system. */
  forget(): Promise<void>;
}

export interface ServerFolders {
  /** Where jobs run, unless the settings name roots. */
  readonly cwd: string;
  /** The folder of the job that the server is started for. */
  readonly jobIn?: string | undefined;
}

/** A server that runs in this process for one command. */
export interface TemporaryServer {
  readonly url: string;
  readonly token: string;
  /**
   * Accepts no more jobs, waits for the running ones and resolves when the server has stopped.
   * @param hurry aborts: running jobs are interrupted
   */
  stop(hurry: AbortSignal): Promise<void>;
}
