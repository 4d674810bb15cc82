/** The list of sessions, and the dialogs that begin them. */
import type { Browser } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { KeyCreated } from '../../../src/protocol/key.ts';
import type { Session } from '../../../src/protocol/session.ts';
import { openPage, PHONE } from '../../helpers/browser.ts';
import { type FakeSystem, PATIENCE } from '../fake-system.ts';

const POLL = { timeout: PATIENCE.timeoutMs };
const WAIT = { timeout: PATIENCE.timeoutMs };

export function listOfSessions(system: () => FakeSystem, browser: () => Browser): void {
  describe('the sessions in the page', { timeout: 120_000 }, () => {
    const open = (options: Partial<Parameters<typeof openPage>[1]> = {}) =>
      openPage(browser(), { url: system().server.url, token: system().server.token, ...options });
    async function make(request: object): Promise<Session> {
      const made = await system().server.api('POST', '/v1/sessions', request);
      expect(made.status, await made.clone().text()).toBe(201);
      return (await made.json()) as Session; // the documented answer
    }

    it('what changes elsewhere changes here, and the address has the filters', async () => {
      await make({ name: 'Alpha chat', tags: ['red'], prompt: 'hello alpha' });
      const { page } = await open();
      await page.goto('/sessions');
      const row = (name: string) => page.getByRole('listitem').filter({ hasText: name });
      await row('Alpha chat').getByText('ready', { exact: true }).waitFor(WAIT);
      const terminal = await make({ kind: 'terminal', command: 'bash', name: 'Beta terminal' });
      await row('Beta terminal').waitFor(WAIT);
      await system().server.api('POST', `/v1/sessions/${terminal.id}/close`);
      await row('Beta terminal').getByText('closed', { exact: true }).waitFor(WAIT);

      await page.getByLabel('Kind').selectOption('chat');
      await expect.poll(() => row('Beta terminal').count(), POLL).toBe(0);
      await page.getByLabel('Search names and prompts').fill('alpha');
      await page.waitForURL('/sessions?kind=chat&q=alpha');
      await page.reload();
      await row('Alpha chat').waitFor(WAIT);
      await row('Alpha chat').getByRole('link', { name: 'red' }).click();
      await page.waitForURL('/sessions?tag=red');
      await row('Alpha chat').waitFor(WAIT);
      await page.getByLabel('Status').selectOption('failed');
      await page.getByText('No session fits these filters').waitFor(WAIT);
      await page.getByRole('link', { name: 'All sessions' }).click();
      await row('Beta terminal').waitFor(WAIT);
    });

    it('pages follow as one scrolls', async () => {
      await Promise.all(Array.from({ length: 55 }, (_, i) => make({ name: `Many ${i}`, tags: ['many'] })));
      const { page } = await open();
      await page.goto('/sessions?tag=many');
      await page.getByRole('link', { name: /^Many/ }).first().waitFor(WAIT);
      await expect
        .poll(async () => {
          await page.mouse.wheel(0, 5000);
          return page.locator('li').last().getAttribute('aria-posinset');
        }, POLL)
        .toBe('55');
    });

    it('a chat is begun, closed and deleted with the keyboard alone', async () => {
      const { page } = await open();
      await page.goto('/sessions');
      await page.getByRole('heading', { name: 'Sessions' }).waitFor();
      await page.keyboard.press('n');
      await page.getByRole('dialog', { name: 'New chat' }).waitFor();
      await page.getByLabel('First message').focus();
      await page.keyboard.type('hello keyboard');
      await page.getByLabel('Name', { exact: true }).focus();
      await page.keyboard.type('By keys');
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { level: 1, name: 'By keys' }).waitFor(WAIT);
      await page.getByText('fake: hello keyboard').waitFor(WAIT);
      await page.keyboard.press('Escape');
      await page.goto('/sessions?q=By+keys');
      await page.getByRole('link', { name: 'By keys' }).waitFor(WAIT);
      await page.keyboard.press('j');
      await page.getByRole('button', { name: 'Close By keys' }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Close it' }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Delete By keys' }).focus(WAIT);
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Delete it' }).focus();
      await page.keyboard.press('Enter');
      await page.getByText('No session fits these filters').waitFor(WAIT);
    });

    it('what a key may not do is not offered', async () => {
      await make({ name: 'Seen by others' });
      const scopes = ['sessions:read'];
      const made = await system().server.api('POST', '/v1/keys', { name: 'reader', scopes });
      const { token } = (await made.json()) as KeyCreated; // the documented answer
      const { page } = await open({ token });
      await page.goto('/sessions');
      await page.getByRole('link', { name: 'Seen by others' }).waitFor(WAIT);
      for (const name of [/^New/, /^Close/, /^Fork/, /^Delete/])
        expect(await page.getByRole('main').getByRole('button', { name }).count()).toBe(0);
      await page.getByRole('link', { name: 'Seen by others' }).click();
      await page.getByText('You may read this session, and not write to it.').waitFor(WAIT);
    });

    it('is accessible and fits, in both sizes and themes', async () => {
      await make({
        name: 'A name that is much longer than what fits into one line of a phone',
        tags: ['long-tag'],
      });
      const { page, looksRight } = await open({ size: PHONE });
      await page.goto('/sessions');
      await page
        .getByRole('link', { name: /A name that is much longer/ })
        .first()
        .waitFor(WAIT);
      await looksRight({ darkOnPhone: true });
      for (const name of ['New chat', 'New terminal']) {
        await page.getByRole('button', { name }).click();
        await page.getByRole('dialog', { name }).waitFor();
        await looksRight();
        await page.keyboard.press('Escape');
      }
    });
  });
}
