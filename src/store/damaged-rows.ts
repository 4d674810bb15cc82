/** Rows that cannot be read, as the store's thread meets them. The replies of the same batch carry them to the server. */
import type { Damage } from '../damage.ts';
import { messageOf } from '../errors.ts';

const found: Damage[] = [];

export const reportRow = (id: string, why: string): void => void found.push({ kind: 'row', id, why });

/** What a row holds; nothing, with a report, when it cannot be read. */
export function readable<T>(id: string, read: () => T): T[] {
  try {
    return [read()];
  } catch (error) {
    reportRow(id, messageOf(error));
    return [];
  }
}

/** What was met since the last call. */
export const takeDamage = (): Damage[] => found.splice(0);
