/** The logins that were ended before they expired. */
import type { DatabaseSync } from 'node:sqlite';
import type { EndedLogin, EndedLogins } from '../auth/ports.ts';
import { all, change } from './sql.ts';
import type { Store } from './store.ts';

/** {@link EndedLogins} in the store. */
export const createEndedLogins = (store: Pick<Store, 'run'>): EndedLogins => ({
  all: () => store.run('logins.ended', {}),
  add: (login, nowMs) => store.run('logins.end', { login, nowMs }),
});

export const loginReads = {
  'logins.ended': (db: DatabaseSync, _args: Record<string, never>): EndedLogin[] =>
    all<{ id: string; until_ms: number }>(db, 'SELECT id, until_ms FROM ended_logins').map(
      ({ id, until_ms }) => ({ id, untilMs: until_ms }),
    ),
};

export const loginWrites = {
  'logins.end'(db: DatabaseSync, args: { readonly login: EndedLogin; readonly nowMs: number }): void {
    change(db, 'DELETE FROM ended_logins WHERE until_ms <= ?', args.nowMs);
    const sql = 'INSERT INTO ended_logins (id, until_ms) VALUES (?, ?) ON CONFLICT (id) DO NOTHING';
    change(db, sql, args.login.id, args.login.untilMs);
  },
};
