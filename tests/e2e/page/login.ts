/** How a browser becomes a caller: a token, a link, and the end of both. */
import type { Browser } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../../src/client/client.ts';
import { openPage } from '../../helpers/browser.ts';
import type { FakeSystem } from '../fake-system.ts';

export function logins(system: () => FakeSystem, browser: () => Browser): void {
  describe('a login', () => {
    const client = () => createClient({ url: system().server.url, token: system().server.token });
    const open = (token: string | null = null) =>
      openPage(browser(), { url: system().server.url, token, expected: /401/ });

    it('by a token leads to the page, and a logout back', async () => {
      const { token } = system().server;
      const { page, context } = await open();
      await page.goto('/');
      await page.getByLabel('Token').fill(token);
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByRole('heading', { level: 1, name: 'Inbox' }).waitFor();
      const [cookie] = await context.cookies();
      expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict', path: '/', secure: false });
      expect(cookie?.value).not.toContain(token.slice(30));
      expect(await page.evaluate('document.cookie')).toBe('');
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('Token').waitFor();
      expect(await context.cookies()).toEqual([]);
      await page.goto('/jobs');
      await page.getByLabel('Token').waitFor();
    });

    it('by a link opens what it names, and the code leaves the address', async () => {
      const { code } = await client().createLoginLink();
      const { page } = await open();
      await page.goto(`/jobs?status=failed#login=${code}`);
      await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
      const { pathname, search, hash } = new URL(page.url());
      expect([pathname, search, hash]).toEqual(['/jobs', '?status=failed', '']);
      await page.goBack();
      expect(page.url()).not.toContain(code);
    });

    it('by a link that was used shows the login page, which says so, and then what was wanted', async () => {
      const { code } = await client().createLoginLink();
      const first = await open();
      await first.page.goto(`/#login=${code}`);
      await first.page.getByRole('heading', { level: 1, name: 'Inbox' }).waitFor();
      const { page } = await open();
      await page.goto(`/jobs?status=failed#login=${code}`);
      await page.getByRole('alert').getByText('older than a minute').waitFor();
      await page.getByLabel('Token').fill(system().server.token);
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
      expect(new URL(page.url()).search).toBe('?status=failed');
    });
  });
}
