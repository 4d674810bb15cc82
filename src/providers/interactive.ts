/**
 * A CLI in its interactive mode, on a terminal. Data only: what to start, and what its screens
 * mean.
 */
import type { PermissionMode, ResolvedPrompt } from '../protocol/prompt.ts';
import type { PrivatePath } from './provider.ts';

export interface InteractiveOptions {
  readonly model: string | null;
  readonly effort: ResolvedPrompt['effort'];
  readonly permissionMode: PermissionMode;
  readonly appendSystemPrompt: string | null;
  /** The working directory, a real path. */
  readonly cwd: string;
  /** As in `CommandContext`. */
  readonly trustedWorkspace: boolean;
  /** As in `CommandContext`; of this terminal alone. */
  readonly scratchDir: string;
  readonly privatePaths: readonly PrivatePath[];
}

/** What a screen shows, and what the session then is. */
export interface ScreenPattern {
  readonly status: 'awaiting_auth' | 'awaiting_input' | 'busy' | 'ready';
  /**
   * Matched without regard to case against the visible screen: its lines without frames, joined
   * by single spaces.
   */
  readonly pattern: RegExp;
  /**
   * Only until the CLI was ready for the first time: a model may write these words. Left out: at
   * any time.
   */
  readonly early?: true;
  /** Where it comes from: a real CLI has shown it, or the vendor's documentation has it. */
  readonly source: 'seen' | 'documented';
}

export interface Interactive {
  /** Options that it cannot honour (422), each with the reason. */
  unsupported(options: InteractiveOptions): readonly { readonly option: string; readonly reason: string }[];
  /** All after the binary, and the variables that it sets. Never a text of the caller. */
  command(options: InteractiveOptions): {
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
    /** As in `Command`: written into the scratch folder before the spawn. */
    readonly files?: Readonly<Record<string, string>>;
  };
  /** The first one that matches counts. None: the CLI is as it was. */
  readonly screens: readonly ScreenPattern[];
}
