import type { TokenCounts } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Command, Provider } from '../providers/provider.ts';
import type { ResourceSettings } from './resource-limits.ts';

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
  readonly binary: string;
  readonly version: string | null;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Bullpen's id for the conversation, should the CLI have one. */
  readonly sessionId: string;
  /** What the session had used before, as far as its CLI has told; null for a new one. */
  readonly sessionTokens: TokenCounts | null;
}

/** What may end a running execution early; `signal.reason` says why. */
export interface StopSignals {
  readonly stop: AbortSignal;
  /** Skips the grace. */
  readonly force: AbortSignal;
}
