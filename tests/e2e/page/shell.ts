/** The frame of the page: login, places, keys, themes, sizes. */
import type { Browser } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { DESKTOP, openPage, PHONE } from '../../helpers/browser.ts';
import type { FakeSystem } from '../fake-system.ts';

export function shellOfPage(system: () => FakeSystem, browser: () => Browser): void {
  describe('the page', () => {
    const open = (options: Partial<Parameters<typeof openPage>[1]> = {}) =>
      openPage(browser(), { url: system().server.url, token: system().server.token, ...options });

    it('every place is reachable and accessible, in both sizes and themes', async () => {
      const { page, looksRight } = await open({ size: PHONE });
      const places = ['Jobs', 'Sessions', 'Usage', 'System', 'Inbox'];
      const visit = async (name: string): Promise<void> => {
        await page.getByRole('navigation', { name: 'Places' }).getByRole('link', { name }).click();
        await page.getByRole('heading', { level: 1, name }).waitFor();
      };
      await page.goto('/');
      for (const name of places) await visit(name);
      await looksRight({ darkOnPhone: true }); // the inbox; the others are looked at where they are full
      await page.setViewportSize(DESKTOP);
      for (const name of places) await visit(name);
    });

    it('is left, and has its theme changed, on a phone too', async () => {
      const { page } = await open({ size: PHONE, expected: /401/ });
      await page.goto('/system');
      await page.getByRole('button', { name: 'Theme: system' }).click();
      await page.getByRole('button', { name: 'Theme: light' }).click();
      expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('dark');
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('Token').waitFor();
      await page.goto('/jobs');
      await page.getByLabel('Token').waitFor();
    });

    it('the title names the screen, and the keyboard goes on in a screen that was opened', async () => {
      const id = await system().submit({ prompt: 'a job with a name', delayMs: 3_600_000 });
      const { page } = await open();
      await page.goto('/jobs');
      await page.getByRole('link', { name: 'a job with a name' }).press('Enter');
      await page.getByRole('heading', { level: 1, name: 'a job with a name' }).waitFor();
      await expect.poll(() => page.title()).toBe('a job with a name · Bullpen');
      expect(new URL(page.url()).pathname).toBe(`/jobs/${id}`);
      expect(await page.evaluate('document.activeElement.id')).toBe('screen');
      await page.keyboard.press('Tab');
      expect(await page.evaluate('document.activeElement.closest("main") !== null')).toBe(true);
      await page.goBack();
      await expect.poll(() => page.title()).toBe('Jobs · Bullpen');
    });

    it('is used by keyboard alone, with a sheet that lists the keys', async () => {
      const { page } = await open();
      await page.goto('/');
      await page.getByRole('heading', { name: 'Inbox' }).waitFor();
      await page.keyboard.press('g');
      await page.keyboard.press('u');
      await page.getByRole('heading', { name: 'Usage' }).waitFor();
      await page.keyboard.press('?');
      await page.getByRole('dialog', { name: 'Keys' }).getByText('Jobs').waitFor();
      await page.keyboard.press('Escape');
      await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
    });
  });
}
