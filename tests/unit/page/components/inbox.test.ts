// Before the modules of the page.
import '../../../helpers/page-document.ts';
import { Fragment, h } from 'preact';
import { expect, it } from 'vitest';
import { exampleApproval } from '../../../../src/http/examples.ts';
import { Page } from '../../../../src/page/app.tsx';
import { useLoad } from '../../../../src/page/load.ts';
import { InboxScreen } from '../../../../src/page/screens/inbox/inbox.tsx';
import { waitingForYou } from '../../../../src/page/screens/inbox/waiting.ts';
import { Markdown } from '../../../../src/page/transcript/markdown.tsx';
import { Keys, useKeys } from '../../../../src/page/ui/keys.tsx';
import type { Approval } from '../../../../src/protocol/approval.ts';
import { eventually } from '../../../helpers/eventually.ts';
import { type Answer, usePage } from '../../../helpers/page-document.ts';

const page = usePage();
const approval = (id: string, fields: Partial<Approval> = {}): Approval => ({
  ...exampleApproval,
  ...{ id, jobId: `job-${id}`, input: { command: `run ${id}` } },
  ...fields,
});

/** Approvals wait, and each decision takes until it is let through. */
function waits(approvals: readonly Approval[]): { readonly answer: Answer; letThrough(): void } {
  const decided = new Set<string>();
  const gate = Promise.withResolvers<void>();
  const answer: Answer = async ({ method, path }) => {
    const left = approvals.filter(({ id }) => !decided.has(id));
    if (path === '/v1/approvals') return { data: left, nextCursor: null };
    if (path === '/v1/jobs') return { data: [], nextCursor: null };
    if (path === '/v1/providers') return { data: [] };
    const id = /^\/v1\/approvals\/(.+)\/decide$/.exec(path)?.[1];
    if (method !== 'POST' || id === undefined) return 404;
    await gate.promise;
    decided.add(id);
    return approvals.find((one) => one.id === id);
  };
  return { answer, letThrough: gate.resolve };
}

function Inbox() {
  return h(Fragment, null, h(Keys, null), h(InboxScreen, { waiting: useLoad(waitingForYou, []) }));
}
const decisions = (): readonly string[] =>
  page.asked.filter(({ method }) => method === 'POST').map(({ path }) => path.split('/')[3] ?? '');

it('a text that the lexer of Markdown cannot take is shown as it is', async () => {
  for (const text of ['>'.repeat(8000), '> - '.repeat(3000), '['.repeat(8000), '*_'.repeat(4000)]) {
    await page.show(h(Markdown, { text }));
    expect(page.body.textContent.length).toBeGreaterThan(1000);
  }
});

it('what cannot be shown takes nothing else away', async () => {
  const hostile = approval('one', { kind: 'plan', input: { plan: '>'.repeat(8000) } });
  const broken = approval('two', { kind: 'question', questions: [null] as never }); // as: a damaged record
  const { answer, letThrough } = waits([hostile, broken, approval('three')]);
  letThrough();
  await page.show(h(Inbox, null), answer);
  await eventually(() => page.body.textContent.includes('This cannot be shown'));
  expect(page.body.all('article')).toHaveLength(2);
  page.body.find('article', 'Bash wants to run').find('button', 'Allow').send('click');
  await eventually(() => decisions().includes('three'));
});

it('a screen that cannot be shown leaves the places', async () => {
  location.pathname = '/jobs/broken';
  const { answer } = waits([]);
  await page.show(h(Page, null), (one) => (one.path === '/v1/jobs/broken' ? {} : answer(one)));
  await eventually(() => page.body.textContent.includes('This cannot be shown'));
  expect(page.body.find('a', 'Usage')).toBeDefined();
  location.pathname = '/';
});

it('the keyboard stays where it went while a decision was under way', async () => {
  const { answer, letThrough } = waits(['one', 'two', 'three'].map((id) => approval(id)));
  await page.show(h(Inbox, null), answer);
  const current = () =>
    page.body.all('article').filter((card) => `${card.given.get('class')}`.includes('current'));
  await eventually(() => page.body.all('article').length === 3);
  await eventually(() => {
    page.press('k'); // until the keys are bound: at the first card it stays
    return current()[0]?.textContent.includes('run one') === true;
  });
  const goesTo = async (key: string, command: string): Promise<void> => {
    page.press(key);
    await eventually(() => current()[0]?.textContent.includes(command) === true);
  };
  page.press('a');
  await eventually(() => decisions().length === 1);
  await goesTo('j', 'run two');
  await goesTo('j', 'run three');
  letThrough();
  await eventually(() => page.body.all('article').length === 2);
  expect(current()[0]?.textContent).toContain('run three');
  await eventually(() => {
    page.press('a');
    return decisions().length === 2;
  });
  expect(decisions()).toEqual(['one', 'three']);
});

it('after a decision the keyboard is at the next one', async () => {
  const { answer, letThrough } = waits(['four', 'five', 'six'].map((id) => approval(id)));
  letThrough();
  await page.show(h(Inbox, null), answer);
  const isAt = (id: string): boolean =>
    page.focused().localName === 'article' && page.focused().textContent.includes(`run ${id}`);
  await eventually(() => {
    page.press('k'); // as above
    return isAt('four');
  });
  for (const id of ['four', 'five', 'six']) {
    await eventually(() => isAt(id));
    await eventually(() => {
      page.press('a');
      return decisions().includes(id);
    });
  }
});

it('two keys are one, also where a list has the second for itself', async () => {
  const done: string[] = [];
  const bind = (...keys: readonly string[]) =>
    keys.map((one) => ({ keys: one, does: one, act: () => done.push(one) }));
  const Outer = () => {
    useKeys(bind('g j', 'g i'));
    return null;
  };
  const Inner = () => {
    useKeys(bind('j', 'k'));
    return h('p', null, 'a list');
  };
  await page.show(h(Fragment, null, h(Keys, null), h(Outer, null), h(Inner, null)));
  await eventually(() => {
    page.press('k');
    return done.length > 0;
  });
  for (const key of ['g', 'j', 'j', 'g', 'i']) page.press(key);
  expect(done.slice(done.lastIndexOf('k') + 1)).toEqual(['g j', 'j', 'g i']);
});
