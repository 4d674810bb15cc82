// Before the modules of the page.
import '../../../helpers/page-document.ts';
import { h } from 'preact';
import { expect, it, vi } from 'vitest';
import { exampleApproval } from '../../../../src/http/examples.ts';
import { PendingApprovals } from '../../../../src/page/screens/sessions/pending-approvals.tsx';
import { eventually } from '../../../helpers/eventually.ts';
import { callerWith, usePage } from '../../../helpers/page-document.ts';

const page = usePage();
const pending = h(PendingApprovals, { sessionId: 'one', isOwn: () => true });

it('a chat asks for new approvals every five seconds if its caller is told of no changes', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    for (const scopes of [
      ['sessions:write', 'approvals:decide'],
      ['jobs:read', 'approvals:decide'],
    ] as const) {
      let data: readonly unknown[] = [];
      await page.show(h('div', { key: scopes[0] }, pending), () => ({ data }), callerWith(...scopes));
      await eventually(() => page.asked.some(({ path }) => path === '/v1/approvals'));
      data = [exampleApproval];
      if (scopes[0] === 'jobs:read') expect(vi.getTimerCount()).toBe(0);
      else
        await eventually(() => {
          vi.advanceTimersByTime(5000);
          return page.body.textContent.includes('git push');
        });
      page.leave();
      page.asked.length = 0;
      await eventually(() => vi.getTimerCount() === 0);
    }
  } finally {
    vi.useRealTimers();
  }
});
