/** What the processes and the providers share about a CLI: how it ended, and what is missing of a line. */

/** How the process ended, as Node reports it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * What is missing of a line that was too long: the members of its object (of its array: their indices) that are not
 * whole. Null: nothing is missing.
 */
export type Cut = ReadonlySet<string>;

/** Means every member: the line was cut as a text, or more members were cut than are named. */
export const ANY_MEMBER = '';

/** Whether a member may not be whole. */
export const isCut = (cut: Cut | null, member: string): boolean =>
  cut !== null && (cut.has(member) || cut.has(ANY_MEMBER));
