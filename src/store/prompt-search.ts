import type { DatabaseSync } from 'node:sqlite';
import type { Condition } from './list-jobs.ts';

/**
 * "The prompt contains this text, without regard to case." LIKE is fast but folds ASCII only. So LIKE alone
 * decides when nothing else in the text has a case; otherwise it sorts out what cannot match, and the slower
 * `contains_folded` decides.
 */
export function* promptContains(text: string): Generator<Condition> {
  const beyondAscii = text.replace(/\p{ASCII}+/gu, '');
  const folded = text.toLowerCase();
  const ascii = beyondAscii.toLowerCase() === beyondAscii.toUpperCase();
  const literal = folded.replace(/[\\%_]/g, '\\$&');
  const pattern = ascii ? literal : literal.replace(/\P{ASCII}+/gu, '%');
  yield { sql: String.raw`jobs.prompt LIKE ? ESCAPE '\'`, parameters: [`%${pattern}%`] };
  if (!ascii) yield { sql: 'contains_folded(jobs.prompt, ?)', parameters: [folded] };
}

/** Gives a database the function the search needs. */
export function addPromptSearch(db: DatabaseSync): void {
  db.function('contains_folded', { deterministic: true, directOnly: true }, (prompt, folded) =>
    String(prompt).toLowerCase().includes(String(folded)) ? 1 : 0,
  );
}
