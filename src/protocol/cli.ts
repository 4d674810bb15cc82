/**
 * How a CLI ended, and which parts of a long line are missing: for the processes and the
 * providers.
 */

/** How the process ended, as Node reports it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * The incomplete parts of a line that was too long: members of its object, or indices of its
 * array. Null: the line is whole.
 */
export type Cut = ReadonlySet<string>;

/**
 * In a cut: every member may be incomplete: the line was cut as text, or too many members to name
 * were cut.
 */
export const ANY_MEMBER = '';

/** Whether a member may be incomplete. */
export const isCut = (cut: Cut | null, member: string): boolean =>
  cut !== null && (cut.has(member) || cut.has(ANY_MEMBER));
