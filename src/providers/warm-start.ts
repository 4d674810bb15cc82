import type { Login } from './provider.ts';

/**
 * How a CLI starts before there is a prompt: by the same command, whose stdin is written later.
 * Until then it does nothing and costs nothing, except for hooks that its user has set up.
 */
export interface WarmStart {
  /** Whether a line answers the command's opening. Lines up to this one belong to no run. */
  isReady(line: string): boolean;
  /**
   * Files and folders it reads while it boots. When one has changed, a waiting process is stale.
   * `workspace`: paths below the working directory, '.' for itself. `home`: as in {@link Login},
   * in addition to the login's files.
   */
  readonly reads: { readonly workspace: readonly string[]; readonly home: Login['files'] };
  /**
   * Whether it writes a line before it acts on a prompt. A process that got its prompt and wrote
   * nothing has then done nothing, and the prompt may go to another process.
   */
  readonly speaksFirst: boolean;
  /**
   * Whether the process takes another prompt of its session on an open stdin when it has answered
   * one.
   */
  readonly takesTurns: boolean;
}

/**
 * For a command that reads stdin to its end before it does anything, and of which nothing else is
 * known.
 */
export const PLAIN_WARM_START: WarmStart = {
  isReady: () => false,
  reads: { workspace: [], home: [] },
  speaksFirst: false,
  takesTurns: false,
};
