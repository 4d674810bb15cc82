import type { TokenCounts } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Command, Provider } from '../providers/provider.ts';
import type { ResourceSettings } from './resource-limits.ts';
import type { Shape } from './warm/shape.ts';

/** Of one execution, by the server's settings. */
export interface ExecutionLimits extends ResourceSettings {
  readonly maxOutputBytes: number;
  readonly maxLineBytes: number;
  readonly maxEvents: number;
  readonly maxEventsPerSecond: number;
  readonly maxResultBytes: number;
  readonly killGraceMs: number;
  readonly lingerMs: number;
}

/** Everything decided before the spawn. */
export interface PreparedExecution {
  readonly executionId: string;
  readonly marker: string;
  readonly provider: Provider;
  readonly request: ResolvedPrompt;
  readonly command: Command;
  /** UUID of the message with the prompt. */
  readonly promptId: string;
  readonly binary: string;
  readonly version: string | null;
  /** Whole but for TMPDIR, which is the scratch folder of the process. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Absolute; made when a process is started for this execution alone. */
  readonly scratch: string;
  /** A longer line of stdout is shortened or cut. */
  readonly maxLineBytes: number;
  /** A text in a shortened line keeps more than this, as far as there is room. */
  readonly maxTextBytes: number;
  /** What a process that waits must be bound to, to run this; null: only one of its own will do. */
  readonly shape: Shape | null;
  /** Whether its stdin stays open until the turn is over: for the next one, or to ask again for an answer. */
  readonly holdsStdin: boolean;
  /** Whether its process may stay open for the next turn of its session. */
  readonly staysOpen: boolean;
  /**
   * Bullpen's id for the conversation, should the CLI have one. Null where it could not go on: of a fallback, because a
   * session belongs to the provider a job names, and of a new one that the CLI cannot save.
   */
  readonly sessionId: string | null;
  /** Why the CLI cannot save what is said now; null: it can, as far as is known. */
  readonly unsaved: string | null;
  /** What the session had used before, as far as its CLI has told; null for a new one. */
  readonly sessionTokens: TokenCounts | null;
}

/** What may end a running execution early; `signal.reason` says why. */
export interface StopSignals {
  readonly stop: AbortSignal;
  /** Skips the grace. */
  readonly force: AbortSignal;
}
