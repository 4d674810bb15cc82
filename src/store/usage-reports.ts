import type { UsageReports } from '../http/ports.ts';
import type { Projector } from './projector.ts';
import type { Store } from './store.ts';

/** Usage from the projection: every node answers the same. What has just ended is in it. */
export const createUsageReports = (store: Store, projector: Pick<Projector, 'catchUp'>): UsageReports => ({
  async usage(principal, query) {
    await projector.catchUp();
    return store.run('usage.report', { ...query, owner: principal.admin ? null : principal.id });
  },
});
