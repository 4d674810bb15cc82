/**
 * The port behind which every CLI stands. A provider is pure: it builds a command, translates lines into
 * events and says how the run ended. It never spawns, reads files or looks at the clock, so that each one can
 * be tested with recorded output alone.
 */

import type { ErrorCode, WireError } from '../errors.ts';
import type { Cut, Exit } from '../protocol/cli.ts';
import type { EventBody, ExecutionEvent } from '../protocol/event.ts';
import type { TokenCounts, Usage } from '../protocol/outcome.ts';
import type { PermissionMode, ResolvedPrompt } from '../protocol/prompt.ts';

/** What a provider can do; shown by `GET /v1/providers`. */
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
}

/** What to run. The executor adds the marker, the allow-listed environment and the working directory. */
export interface Command {
  /** Everything after the binary. Never holds a text of the caller: every user of the machine can read it. */
  readonly args: readonly string[];
  /**
   * Written to stdin before anything else, also where the prompt comes later: what the process is bound to and
   * arguments would show. Left out: nothing.
   */
  readonly opening?: string;
  /** Written to stdin, which is then closed. */
  readonly stdin: string;
  /** Variables the provider sets itself, over the allow-listed ones. */
  readonly env: Readonly<Record<string, string>>;
  /** Files the command needs, by name: written into the scratch folder (0600) before the spawn. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface CommandContext {
  /** The CLI's own id of the session to resume; null for a new one. */
  readonly nativeSessionId: string | null;
  /** Whether the workspace's own settings, hooks and MCP files may run. */
  readonly trustedWorkspace: boolean;
  /** Absolute; a folder of this execution alone, gone after it. Also its TMPDIR. */
  readonly scratchDir: string;
  /** A UUID that names the job's prompt, the same in each of its attempts. */
  readonly promptId?: string;
  /**
   * What an earlier attempt of this job did in the session it resumes. `asked`: the session has the prompt, see
   * {@link Provider.provesAsked}. `unknown`: it may have it. Left out: there was no such attempt.
   */
  readonly earlierAttempt?: 'asked' | 'unknown';
}

/** What a translator knows of its run beside the request. */
export interface RunFacts {
  /** What the resumed session had used before, as far as it is known. Left out: nothing, or not known. */
  readonly sessionTokens?: TokenCounts | null;
  /** As in {@link CommandContext}. */
  readonly promptId?: string;
}

/** What a finished run amounts to. `error` is null exactly when the run succeeded. */
export interface Verdict {
  readonly text: string;
  /** Whether a part of it was in a line that was too long; left out: no. */
  readonly textIsCut?: boolean;
  readonly structured: unknown;
  readonly nativeSessionId: string | null;
  readonly turns: number | null;
  readonly usage: Usage | null;
  readonly permissionDenials: readonly { readonly tool: string; readonly input: unknown }[];
  readonly error: WireError | null;
}

/** How far a run has come, for caps its CLI does not keep itself and for what a killed run has cost. */
export interface Progress {
  /** Turns of the main agent that have begun. */
  readonly turns: number;
  /** This run's own; null when nothing was counted yet. */
  readonly usage: Usage | null;
  /** The same tokens by model, for a price table; empty where the CLI does not name models. */
  readonly byModel: Readonly<Record<string, TokenCounts>>;
  /** What the whole session has used, from CLIs that count so: the base of the next run's own figures. */
  readonly sessionTokens?: TokenCounts | null;
}

/** The fold over one run's output. */
export interface Translator {
  /**
   * One line of stdout, without its newline → its events. Unknown lines become `raw`.
   * @param cut what is missing of a line that was too long
   */
  line(line: string, cut?: Cut | null): readonly ExecutionEvent[];
  /** Whether the CLI has said its last word for the prompt: its terminal event was seen. The process should exit soon. */
  readonly done: boolean;
  /** Whether the turn is over: nothing more is to come for the prompt. Left out: as `done`. */
  readonly answered?: boolean;
  /**
   * Whether the CLI is at work although it is silent: a tool of its runs, or it waits for what goes on in the
   * background. Left out: as the events of its tools say.
   */
  readonly busy?: boolean;
  /** What the CLI goes on with behind its answer, named for a person; left out: it never does. */
  readonly background?: readonly string[];
  /**
   * What has to be written to stdin before anything comes: the session has the prompt and its answer, from an earlier
   * attempt of the job. Once it is not null it stays the same. Left out: null.
   */
  readonly asksAgain?: string | null;
  readonly progress: Progress;
  /**
   * Whether going on is pointless, and why: an error the CLI itself would retry for minutes although it
   * cannot get better (a refused key). The executor then ends the process with this code.
   */
  readonly hopeless: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly resetsAt?: string | null;
  } | null;
  /** The end, from everything seen. Callable at any time, also for a killed run: keeps partial text and usage. */
  end(exit: Exit, stderrTail: string): Verdict;
}

/**
 * How a CLI starts before there is a prompt: the same command, whose stdin is written later. It boots, waits, and
 * neither acts nor costs anything until then, but for hooks its user has set up.
 */
export interface WarmStart {
  /** Whether a line is the answer to the command's opening. Lines up to it belong to no run. */
  isReady(line: string): boolean;
  /**
   * Files and folders it reads while it boots: once one has changed, what waits is stale. `workspace`: paths below
   * the working directory, '.' for itself. `home`: as in {@link Login}, beside the login's own.
   */
  readonly reads: { readonly workspace: readonly string[]; readonly home: Login['files'] };
  /**
   * Whether it says a line before it does anything for a prompt. If so, a process that got its prompt and is silent or
   * ends has done nothing, and the prompt may be given to another one.
   */
  readonly speaksFirst: boolean;
  /** Whether the process takes another prompt of its session on an open stdin when it has answered one. */
  readonly takesTurns: boolean;
}

/** What shows, without a job, whether a CLI is logged in. */
export interface Login {
  /** Variables any one of which logs in. */
  readonly variables: readonly string[];
  /** Files that hold a login: `name` in the folder the variable names, or else in `home` below HOME. */
  readonly files: readonly {
    readonly variable: string | null;
    readonly home: string;
    readonly name: string;
  }[];
  /** Arguments that make the binary tell (exit code 0: logged in); null: it cannot tell. */
  readonly statusArgs: readonly string[] | null;
  /** What a person has to do. */
  readonly hint: string;
}

/**
 * Caps the CLI does not keep itself: the executor does, from the stream. For `maxCostUsd` the stream must tell
 * tokens while the run goes on.
 */
export type StreamCap = 'maxTurns' | 'maxCostUsd';

export interface Provider {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly login: Login;
  /** Where the CLI keeps its sessions, as in {@link Login}. Left out: not known, or it has none. */
  readonly state?: Login['files'][number] & { readonly variable: string };
  /** Left out: it cannot be started before there is a prompt. */
  readonly warmStart?: WarmStart;
  /**
   * Whether its boot takes much processor time, and its first line says that it is over. Where the processors are busy
   * such boots take turns.
   */
  readonly announcesBoot?: boolean;
  readonly streamCaps: readonly StreamCap[];
  /** Whether the stream tells what the run costs, so that no price is needed for a cap. */
  readonly reportsCost?: boolean;
  /** Names of the server's variables this CLI may see, beside the base set (PATH, HOME, LANG, TZ, TMPDIR …). */
  readonly envNames: readonly string[];
  /** Candidates for the binary when the settings name none, in order, looked up on PATH. */
  readonly binaries: readonly string[];
  /** Arguments that make the binary print its version and exit. */
  readonly versionArgs: readonly string[];
  /** Names of the request's options this provider cannot honour (→ 422), with the reason. */
  unsupported(request: ResolvedPrompt): readonly { readonly option: string; readonly reason: string }[];
  command(request: ResolvedPrompt, context: CommandContext): Command;
  /**
   * Whether this event of an earlier attempt proves that the CLI has saved the job's prompt in the session. Left out:
   * no event does.
   */
  provesAsked?(event: EventBody): boolean;
  translator(request: ResolvedPrompt, run?: RunFacts): Translator;
}
