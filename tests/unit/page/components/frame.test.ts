// Before the modules of the page.
import '../../../helpers/page-document.ts';
import { h } from 'preact';
import { expect, it, vi } from 'vitest';
import { Page } from '../../../../src/page/app.tsx';
import { live } from '../../../../src/page/server.ts';
import { WAIT_REASONS as OFFERED } from '../../../../src/page/ui/status.tsx';
import { WAIT_REASONS } from '../../../../src/protocol/job.ts';
import { eventually } from '../../../helpers/eventually.ts';
import { type Answer, callerWith, usePage } from '../../../helpers/page-document.ts';

const page = usePage();
const mine = callerWith('jobs:read');
const other = { ...mine, principal: 'admin' };
const looks = (): number => page.asked.filter(({ path }) => path === '/v1/me').length;

it('a logout that the server does not take says so, and leaves what was written', async () => {
  let logout: Answer = () => 404;
  await page.show(h(Page, null), (one) => (one.path === '/logout' ? logout(one) : 404));
  await eventually(() => page.asked.some(({ path }) => path !== '/v1/me')); // messages are shown from now on
  sessionStorage.setItem('written', 'here');
  const press = (): void => page.body.find('button', 'Log out').send('click');
  const refusals = (): number => page.body.textContent.split('The server did not log you out').length - 1;
  logout = () => {
    throw new TypeError('fetch failed');
  };
  press();
  await eventually(() => refusals() === 1);
  logout = () => 502;
  press();
  await eventually(() => refusals() === 2);
  expect(page.went).toEqual([]);
  expect(sessionStorage.getItem('written')).toBe('here');
  logout = () => ({});
  press();
  await eventually(() => page.went.length > 0);
  expect(page.went).toEqual(['/login']);
  expect(sessionStorage.getItem('written')).toBeNull();
});

it.each(['focus', 'visibilitychange'])('a tab whose login was replaced is loaded again: %s', async (look) => {
  await page.show(h(Page, null), () => 404, mine);
  const isOver = (times: number) => (): boolean => {
    dispatchEvent(new Event(look));
    return looks() > times;
  };
  await eventually(isOver(2)); // the first look is over before the second begins
  expect(page.went).toEqual([]);
  for (const one of [other, { ...mine, project: 'web' }]) {
    page.become(mine);
    await eventually(isOver(looks() + 1));
    page.went.length = 0;
    page.become(one);
    await eventually(isOver(looks() + 1));
    expect(new Set(page.went)).toEqual(new Set(['again']));
  }
});

it('so is one whose connection comes back', async () => {
  class BrokenSocket extends EventTarget {
    constructor() {
      super();
      queueMicrotask(() => this.dispatchEvent(new Event('error')));
    }
    close(): void {}
  }
  vi.stubGlobal('WebSocket', BrokenSocket);
  await page.show(h('p', null), () => 404, mine);
  const connection = live();
  try {
    await eventually(() => looks() > 2);
    expect(page.went).toEqual([]);
    page.become(other);
    await eventually(() => page.went.length > 0);
    expect(page.went[0]).toBe('again');
  } finally {
    connection.close();
    vi.unstubAllGlobals();
    vi.resetModules(); // the page opens one connection
  }
});

it('the filter offers every reason that a job can have', () => {
  // The API takes the reason, and gives it to no job.
  const given = WAIT_REASONS.filter((reason) => reason !== 'dependency');
  expect(OFFERED.toSorted()).toEqual(given.toSorted());
});
