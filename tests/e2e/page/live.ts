/** The page stays current: one connection, restarts, sleep, many pages at once. */
import { writeFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { openPage } from '../../helpers/browser.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { type FakeSystem, gated, PATIENCE } from '../fake-system.ts';

/** What a browser says of a server that is away. */
const AWAY = /WebSocket|ERR_CONNECTION|Failed to load|502|503/;

export function livePage(shared: () => FakeSystem, browser: () => Browser): void {
  describe('the page beside a server that goes on', () => {
    const open = async (path: string, options: Partial<Parameters<typeof openPage>[1]> = {}) => {
      const { url, token } = shared().server;
      const opened = await openPage(browser(), { url, token, ...options });
      await opened.page.goto(path);
      return opened;
    };
    const shows = (page: Page, text: string | RegExp) =>
      page.getByText(text).first().waitFor({ timeout: PATIENCE.timeoutMs });

    it('shows what others do, over one connection for all screens', async () => {
      const { page } = await open('/login');
      const sockets: string[] = [];
      page.on('websocket', (socket) => sockets.push(socket.url()));
      await page.goto('/jobs');
      for (const name of ['Sessions', 'System', 'Jobs', 'Inbox', 'Jobs']) {
        await page.getByRole('navigation', { name: 'Places' }).getByRole('link', { name }).click();
        await page.getByRole('heading', { level: 1, name }).waitFor();
      }
      await shared().submit({ prompt: fakePrompt([{ delta: 'x' }], 'made by another client') });
      await shows(page, 'made by another client');
      expect(sockets.map((url) => new URL(url).pathname)).toEqual(['/v1/live']);
    });

    it('shows each event once when the connection breaks while a job runs', async () => {
      const system = shared();
      const go = system.newFile('go');
      const steps = [{ delta: 'first words. ' }, { waitFor: go }, { delta: 'last words.' }];
      const id = await system.submit({ prompt: fakePrompt(steps) });
      const { page } = await open('/login', { expected: AWAY });
      let connections = 0;
      let cut = async (): Promise<void> => {};
      await page.routeWebSocket(/\/v1\/live/, (socket) => {
        connections += 1;
        socket.connectToServer();
        cut = () => socket.close({ code: 4001 });
      });
      await page.goto(`/jobs/${id}`);
      await shows(page, /first words\./);
      await cut();
      await expect.poll(() => connections, { timeout: PATIENCE.timeoutMs }).toBe(2);
      writeFileSync(go, '');
      await shows(page, /first words\. last words\./);
      const text = await page.getByRole('main').innerText();
      expect(text.match(/first words\. last words/g)).toHaveLength(1);
    });

    it('catches up after the tab was asleep', async () => {
      const { page, context } = await open('/jobs');
      await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
      const devtools = await context.newCDPSession(page);
      await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
      const id = await shared().submit({ prompt: fakePrompt([{ delta: 'x' }], 'made while it slept') });
      await shared().server.finished(id);
      await devtools.send('Page.setWebLifecycleState', { state: 'active' });
      await shows(page, 'made while it slept');
    });

    it('pages that are open together show the same stream to its end', async () => {
      const { prompt, letGo, streams } = gated(shared());
      const id = await shared().submit({ prompt });
      await streams();
      // A server of a busy machine may refuse a request for a moment; the client asks again.
      const { page, context } = await open(`/jobs/${id}`, { expected: /503 / });
      const pages = [page, await context.newPage(), await context.newPage()];
      for (const other of pages.slice(1)) await other.goto(`/jobs/${id}`);
      for (const one of pages) {
        const transcript = one.getByRole('list', { name: 'Transcript' });
        await transcript.getByText('partial', { exact: true }).waitFor();
        await one.getByText('running', { exact: true }).waitFor();
      }
      // Nothing moves for a reader who has asked for that.
      await expect.poll(() => page.evaluate('document.getAnimations().length')).toBe(0);
      letGo();
      for (const one of pages) {
        await one.getByText('succeeded', { exact: true }).first().waitFor();
        await one.getByRole('button', { name: 'Retry' }).waitFor();
      }
    });
  });
}
