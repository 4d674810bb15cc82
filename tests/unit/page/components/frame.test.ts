// Before the modules of the page.
import '../../../helpers/page-document.ts';
import { h } from 'preact';
import { expect, it } from 'vitest';
import { Page } from '../../../../src/page/app.tsx';
import { WAIT_REASONS as OFFERED } from '../../../../src/page/ui/status.tsx';
import { WAIT_REASONS } from '../../../../src/protocol/job.ts';
import { eventually } from '../../../helpers/eventually.ts';
import { type Answer, usePage } from '../../../helpers/page-document.ts';

const page = usePage();

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

it('the filter offers every reason that a job can have', () => {
  // The API takes the reason, and gives it to no job.
  const given = WAIT_REASONS.filter((reason) => reason !== 'dependency');
  expect(OFFERED.toSorted()).toEqual(given.toSorted());
});
