import type { Client } from '../client/client.ts';
import type { Arguments, OptionSpecs } from './arguments.ts';
import type { ServerFinder, ServerPlace } from './find-server.ts';
import type { Interrupts } from './interrupts.ts';
import type { Output } from './output.ts';
import type { ReadStdinOptions } from './read-stdin.ts';

/** A server that runs in this process, for one command. */
export interface OwnServer {
  readonly url: string;
  readonly token: string;
  /**
   * Takes nothing new, lets what runs end, and resolves when nothing of it runs any more.
   * @param hurry once it aborts, what runs is interrupted
   */
  stop(hurry: AbortSignal): Promise<void>;
}

/** What the command line gets from main.ts, which alone knows how to start a server. */
export interface ServerStarter {
  /** Runs the server until a signal ends it; resolves with the exit code. */
  serve(): Promise<number>;
  /**
   * Starts a server on a free port of this host, where other commands find it too.
   * @throws AppError config.locked while another server has the data folder
   * @throws AppError cwd.not_allowed, before anything runs, when the server could not run jobs in `jobIn`
   * @param options.cwd where jobs run, unless the settings name roots of their own
   * @param options.jobIn the folder of a job it is started for
   */
  startServer(options: { readonly cwd: string; readonly jobIn?: string }): Promise<OwnServer>;
}

/** What a command works with. */
export interface CommandContext extends ServerStarter {
  readonly output: Output;
  readonly finder: ServerFinder;
  readonly interrupts: Interrupts;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The caller's folder, absolute. */
  readonly cwd: string;
  readonly version: string;
  now(): Date;
  /** Rejects when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** All of stdin; null when there is none. See {@link readStdin}. */
  readStdin(options: ReadStdinOptions): Promise<string | null>;
  /** @throws CommandError when no server runs */
  connect(): Promise<Client>;
  /** Lets the server of another command run jobs in the caller's folder, unless the settings name roots. */
  allowFolder(folder: string): Promise<void>;
  client(place: Omit<ServerPlace, 'tokenFrom'>): Client;
}

/** One command; the help is made from it. */
export interface Command {
  readonly name: string;
  /** Its arguments, as in `ID [--force]`. */
  readonly usage: string;
  /** One line. */
  readonly summary: string;
  /** More to know, as paragraphs. */
  readonly details?: string;
  readonly options: OptionSpecs;
  readonly examples: readonly string[];
  /** Resolves with the exit code. */
  run(context: CommandContext, args: Arguments): Promise<number>;
}
