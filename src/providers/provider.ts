/**
 * The port of every CLI. A provider builds a command, translates lines into events and decides how
 * the run ended. It is pure: it starts no process, reads no file and no clock, so it is tested
 * with recorded output.
 */
import type { ErrorCode, WireError } from '../errors.ts';
import type { Cut, Exit } from '../protocol/cli.ts';
import type { EventBody, ExecutionEvent, RateLimitEvent } from '../protocol/event.ts';
import type { TokenCounts, Usage } from '../protocol/outcome.ts';
import type { PermissionMode, ResolvedPrompt } from '../protocol/prompt.ts';
import type { Control, ControlContext } from './control.ts';
import type { Interactive } from './interactive.ts';
import type { WarmStart } from './warm-start.ts';

/** What a provider can do. `GET /v1/providers` shows it. */
export interface Capabilities {
  readonly permissionModes: readonly PermissionMode[];
  readonly resume: boolean;
  readonly tools: boolean;
  readonly outputSchema: boolean;
  readonly maxTurns: boolean;
  readonly maxCostUsd: boolean;
  readonly appendSystemPrompt: boolean;
  readonly effort: boolean;
  readonly model: boolean;
  /** Whether a job may wait for work that outlives its answer (`background: wait`). */
  readonly background: boolean;
  /** Whether it can ask a person (`onPermissionDenied: ask`). */
  readonly approvals: boolean;
  /** Whether a message can be sent into a running turn. */
  readonly steer: boolean;
  /** Whether a session can go on as a copy. */
  readonly fork: boolean;
  /** Whether it has an interactive mode, for a terminal. */
  readonly terminal: boolean;
  /** Set for a CLI that was never run against this provider. */
  readonly experimental?: true;
}

/**
 * What to run. The executor adds its marker, the allow-listed environment and the working
 * directory.
 */
export interface Command {
  /**
   * All after the binary. Never a text of the caller: every user of the machine can read
   * arguments.
   */
  readonly args: readonly string[];
  /**
   * Written to stdin first, even when the prompt comes later: options of the process that
   * arguments would show to other users. Left out: nothing.
   */
  readonly opening?: string;
  /** Written to stdin, which is then closed. */
  readonly stdin: string;
  /** Variables the provider sets. They win over the allow-listed ones. */
  readonly env: Readonly<Record<string, string>>;
  /** Files the command needs, by name: written into the scratch folder (0600) before the spawn. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface CommandContext {
  /** The CLI's own id of the session to resume; null for a new one. */
  readonly nativeSessionId: string | null;
  /** Whether the workspace's own settings, hooks and MCP files may run. */
  readonly trustedWorkspace: boolean;
  /** Absolute path of a folder of this execution alone, removed after it. It is TMPDIR too. */
  readonly scratchDir: string;
  /** A UUID that names the prompt. A prompt that is sent again in a later attempt keeps it. */
  readonly promptId?: string;
  /**
   * What the tools of the CLI must not read or change, as far as its own rules can say so. Left
   * out: nothing.
   */
  readonly privatePaths?: readonly PrivatePath[];
  /** Whether the session begins as a copy of `nativeSessionId`. Left out: no. */
  readonly fork?: boolean;
  /**
   * Whether the session has a call that waits for a decision: the CLI is resumed without a prompt.
   * Left out: no.
   */
  readonly resumesCall?: boolean;
  /** Rules that a person has given for the session (`allowedTools`). Left out: none. */
  readonly sessionRules?: readonly string[];
  /**
   * Calls that wait in the session although nothing may run them any longer. They must not run,
   * also where this request would allow them. Left out: none.
   */
  readonly deadCalls?: readonly DeadCall[];
}

export interface DeadCall {
  /** The CLI's own id of the call. */
  readonly callId: string;
  readonly tool: string;
}

/** A file or folder of the server, or of a CLI, with secrets in it. */
export interface PrivatePath {
  /** Absolute, without symbolic links. */
  readonly real: string;
  /** Other ways to write it: through a link, from the home (`~/…`), from the working directory. */
  readonly written: readonly string[];
  /** Whether it is there. A rule that needs a file that is there changes with it. */
  readonly exists: boolean;
}

/** What a translator knows of its run besides the request. */
export interface RunFacts {
  /** Tokens the resumed session had used before. Left out: none, or not known. */
  readonly sessionTokens?: TokenCounts | null;
  /** As in {@link CommandContext}. */
  readonly promptId?: string;
}

/** The result of a finished run. `error` is null exactly when the run succeeded. */
export interface Verdict {
  readonly text: string;
  /** Whether part of the text is missing because its line was too long. Left out: no. */
  readonly textIsCut?: boolean;
  readonly structured: unknown;
  readonly nativeSessionId: string | null;
  readonly turns: number | null;
  readonly usage: Usage | null;
  readonly permissionDenials: readonly { readonly tool: string; readonly input: unknown }[];
  /** `execution.quota`: a usage limit of the login refused the run; `resetsAt` is its end. */
  readonly error: WireError | null;
  /**
   * The limit behind `execution.quota` holds only for models with this word in their name. Left
   * out, or null: for all models.
   */
  readonly limitedModel?: string | null;
}

/**
 * How far a run has come: for caps that its CLI does not keep, and for the cost of a killed run.
 */
export interface Progress {
  /** Turns of the main agent that have begun. */
  readonly turns: number;
  /** Of this run alone; null when nothing was counted yet. */
  readonly usage: Usage | null;
  /** The same tokens by model, for a price table; empty when the CLI does not name models. */
  readonly byModel: Readonly<Record<string, TokenCounts>>;
  /**
   * Tokens of the whole session, from CLIs that count so. The next run's figures start from them.
   */
  readonly sessionTokens?: TokenCounts | null;
}

/** Reads the output of one run, line by line. */
export interface Translator {
  /**
   * The events of one line of stdout, given without its newline. Unknown lines become `raw`.
   * @param cut which parts of a line that was too long are missing
   */
  line(line: string, cut?: Cut | null): readonly ExecutionEvent[];
  /**
   * A message was written into the run (`Control.steer`): the run is not over before the CLI has
   * answered it. Left out: the CLI takes none.
   */
  joined?(messageId: string): void;
  /** Whether the CLI has written the last line for the prompt. The process should exit soon. */
  readonly done: boolean;
  /**
   * Whether the turn ended for a call that waits in the CLI's session. Left out: no. Its verdict is
   * `execution.awaiting_approval` then.
   */
  readonly deferred?: boolean;
  /** Whether the turn is over: no more lines about the prompt follow. Left out: as `done`. */
  readonly answered?: boolean;
  /**
   * Whether the CLI may be silent because it works: it runs a tool, or waits for background tasks.
   * Left out: as the tool events show.
   */
  readonly busy?: boolean;
  /**
   * Names, for a person, of the work that goes on after the answer. Left out: there never is any.
   */
  readonly background?: readonly string[];
  /**
   * The account of the login, as the CLI reports it. It is personal: only a hash of it is kept.
   * Left out, or null: not reported.
   */
  readonly account?: string | null;
  readonly progress: Progress;
  /**
   * Why going on is pointless: an error that the CLI would retry for minutes although no retry can
   * help (a refused key). The executor then stops the process and ends the execution with this
   * code.
   */
  readonly hopeless: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly resetsAt?: string | null;
  } | null;
  /**
   * The verdict so far. May be called at any time: a killed run keeps its partial text and its
   * usage.
   */
  end(exit: Exit, stderrTail: string): Verdict;
}

/** How to find out, without a job, whether a CLI is logged in. */
export interface Login {
  /** Any one of these variables is a login. */
  readonly variables: readonly string[];
  /**
   * Files that hold a login: `name` in the folder the variable names, else in `home` below HOME.
   */
  readonly files: readonly {
    readonly variable: string | null;
    readonly home: string;
    readonly name: string;
  }[];
  /** Further files that may hold a key, as `files`. Left out: none. */
  readonly secrets?: Login['files'];
  /** The folders with all that the CLI keeps: logins, sessions. As `files`. Left out: not known. */
  readonly folders?: Login['files'];
  /** Arguments of the CLI's own status command (exit code 0: logged in); null: it has none. */
  readonly statusArgs: readonly string[] | null;
  /** What a person has to do. */
  readonly hint: string;
}

/** The file of a session, as JSON lines, which the CLI writes while it runs. */
export interface Transcript {
  /** A glob below {@link Provider.state}. @param nativeSessionId a UUID */
  files(nativeSessionId: string): string;
  /** What the user has said by a line; null: the line says nothing of that. */
  said(line: unknown): {
    /** Whether these are all messages so far. Left out: they are added. */
    readonly replaces?: true;
    /** `timestamp`: RFC 3339. */
    readonly messages: readonly { readonly text: string; readonly timestamp: string }[];
  } | null;
  /**
   * What the last lines report of the login's usage limits in the last turn. Left out: nothing.
   * Only for what the CLI's output does not have.
   */
  limits?(lines: readonly unknown[]): LimitReport;
}

export interface LimitReport {
  readonly windows: readonly RateLimitEvent[];
  /** Whether a limit has ended the turn; its reset. Null: none has. */
  readonly refused: { readonly resetsAt: string | null } | null;
}

/**
 * A cap that the CLI does not keep: the executor does, from the stream. For `maxCostUsd` the
 * stream must report tokens or cost during the run.
 */
export type StreamCap = 'maxTurns' | 'maxCostUsd';

export interface Provider {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly login: Login;
  /** The folder of the CLI's sessions, as in {@link Login}. Left out: not known, or none. */
  readonly state?: Login['files'][number] & { readonly variable: string };
  /** Left out: not known, so a later attempt of a job begins from the start. */
  readonly transcript?: Transcript;
  /** Whether the CLI reports how much of a usage limit is used. Left out: no. */
  readonly reportsUse?: true;
  /** A word in the names of the only models that a limit holds for; null: it holds for all. */
  limitedModel?(limit: string): string | null;
  /** Left out: the CLI cannot be started before there is a prompt. */
  readonly warmStart?: WarmStart;
  /** Whether its boot takes much CPU time, and its first line shows the end of the boot. */
  readonly announcesBoot?: boolean;
  readonly streamCaps: readonly StreamCap[];
  /** Whether the stream reports the cost of the run; a cap then needs no price of the model. */
  readonly reportsCost?: boolean;
  /** The server's variables that this CLI may see besides PATH, HOME and the like. */
  readonly envNames: readonly string[];
  /** Names of the binary when the settings give none, in the order they are looked up on PATH. */
  readonly binaries: readonly string[];
  /** Arguments that print the version. */
  readonly versionArgs: readonly string[];
  /** The request's options that this provider cannot honour (422), each with the reason. */
  unsupported(request: ResolvedPrompt): readonly { readonly option: string; readonly reason: string }[];
  command(request: ResolvedPrompt, context: CommandContext): Command;
  /**
   * Whether this event of an earlier attempt proves that the CLI has saved the job's prompt in the
   * session. Left out: no event does; the {@link Transcript} may.
   */
  provesAsked?(event: EventBody): boolean;
  translator(request: ResolvedPrompt, run?: RunFacts): Translator;
  /**
   * Speaks with the CLI while it runs. Left out: the CLI cannot be spoken with: no steering, no
   * approvals, and an interrupt ends its process.
   */
  control?(request: ResolvedPrompt, context: ControlContext): Control;
  /** Its interactive mode. Left out: it has none, so it cannot be a terminal. */
  readonly interactive?: Interactive;
}
