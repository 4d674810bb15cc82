/** Chats in the page: messages in every way, stops, forks, approvals. */
import { writeFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { Session, Turn } from '../../../src/protocol/session.ts';
import { openPage, PHONE } from '../../helpers/browser.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { type FakeSystem, gated, PATIENCE } from '../fake-system.ts';

const POLL = { timeout: PATIENCE.timeoutMs };
const WAIT = { timeout: PATIENCE.timeoutMs };

export function chats(system: () => FakeSystem, browser: () => Browser): void {
  describe('a chat in the page', { timeout: 120_000 }, () => {
    const open = (options: Partial<Parameters<typeof openPage>[1]> = {}) =>
      openPage(browser(), { url: system().server.url, token: system().server.token, ...options });
    async function make(request: object): Promise<string> {
      const made = await system().server.api('POST', '/v1/sessions', request);
      expect(made.status, await made.clone().text()).toBe(201);
      const { id } = (await made.json()) as Session; // the documented answers, here and below
      return id;
    }
    async function turnsOf(id: string): Promise<readonly Turn[]> {
      const answer = await system().server.api('GET', `/v1/sessions/${id}/turns`);
      return ((await answer.json()) as { data: Turn[] }).data;
    }
    /** Opens a chat with a first prompt. */
    async function chat(prompt: string | null, options: Parameters<typeof open>[0] = {}) {
      const id = await make(prompt === null ? {} : { prompt });
      const opened = await open(options);
      await opened.page.goto(`/sessions/${id}`);
      return { id, ...opened };
    }
    const seen = (page: Page, text: string | RegExp) =>
      page
        .getByText(text, { exact: typeof text === 'string' })
        .first()
        .waitFor(WAIT);
    const message = (page: Page) => page.getByLabel('Message', { exact: true });
    const status = (page: Page, text: string) =>
      page.getByRole('main').locator('.head').getByText(text, { exact: true }).waitFor(WAIT);

    it('Enter sends, Shift+Enter is a new line, and each message is there once', async () => {
      const { id, page } = await chat(null);
      await page.getByText('Nothing was said yet').waitFor(WAIT);
      await message(page).fill('line one');
      await page.keyboard.press('End');
      await page.keyboard.press('Shift+Enter');
      await page.keyboard.type('line two');
      await page.keyboard.press('Enter');
      expect(await message(page).inputValue()).toBe('');
      await page.getByText('line one').first().waitFor();
      await seen(page, /fake: line one/);
      await message(page).fill('and then');
      await page.keyboard.press('Enter');
      await seen(page, 'fake: and then');
      expect(await page.getByText('and then', { exact: true }).count()).toBe(1);
      expect(await page.getByLabel('Messages on their way').count()).toBe(0);
      expect((await turnsOf(id)).map(({ prompt }) => prompt)).toEqual(['line one\nline two', 'and then']);
      await page.reload();
      await seen(page, 'fake: and then');
      expect(await page.getByText('and then', { exact: true }).count()).toBe(1);
    });

    it('a message goes into the running turn', async () => {
      const steps = [{ delta: 'I listen' }, { awaitMessage: true as const }];
      const { id, page } = await chat(fakePrompt(steps));
      await seen(page, 'I listen');
      await message(page).fill('Use tabs');
      await page.keyboard.press('Enter');
      await seen(page, /Message into the running turn/);
      await seen(page, 'Use tabs');
      await status(page, 'ready');
      await expect.poll(() => page.getByText('Use tabs', { exact: true }).count(), POLL).toBe(1);
      expect(await turnsOf(id)).toHaveLength(1);
    });

    it('a message is queued as the next turn, and shown as such until it begins', async () => {
      const gate = gated(system());
      const { id, page } = await chat(gate.prompt);
      await gate.streams();
      await seen(page, 'partial');
      await message(page).fill('the second one');
      await page.getByRole('button', { name: 'Queue' }).click();
      const waiting = page.getByLabel('Messages on their way');
      await waiting.getByText('the second one').waitFor(WAIT);
      await expect.poll(async () => (await turnsOf(id)).length, POLL).toBe(2);
      expect(await page.getByText('the second one', { exact: true }).count()).toBe(1);
      gate.letGo();
      await seen(page, 'fake: the second one');
      await expect.poll(() => waiting.count(), POLL).toBe(0);
      expect(await page.getByText('the second one', { exact: true }).count()).toBe(1);
    });

    it('a message interrupts the turn, and is the next one', async () => {
      const gate = gated(system());
      const { id, page } = await chat(gate.prompt);
      await gate.streams();
      await message(page).fill('rather this');
      await page.getByRole('button', { name: 'Interrupt and send' }).click();
      await seen(page, 'fake: rather this');
      expect((await turnsOf(id)).map((turn) => turn.status)).toEqual(['cancelled', 'succeeded']);
    });

    it('Escape twice stops the turn, and so does the button', async () => {
      const gate = gated(system());
      const { page } = await chat(gate.prompt);
      await gate.streams();
      await status(page, 'busy');
      await message(page).focus();
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
      await status(page, 'interrupted');
      const again = gated(system());
      await message(page).fill(again.prompt);
      await page.keyboard.press('Enter');
      await again.streams();
      await page.getByRole('button', { name: 'Stop' }).click();
      await status(page, 'interrupted');
    });

    it('a message that could not be sent says so, and is sent again once', async () => {
      const { id, page } = await chat(null, { expected: /Failed to load|ERR_FAILED/ });
      await page.route('**/messages', (route) => route.abort());
      await message(page).fill('not lost');
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Send again' }).waitFor(WAIT);
      await page.unroute('**/messages');
      await page.getByRole('button', { name: 'Send again' }).click();
      await seen(page, 'fake: not lost');
      expect(await turnsOf(id)).toHaveLength(1);
      const said = page.getByRole('list', { name: 'Transcript' }).getByText('not lost', { exact: true });
      expect(await said.count()).toBe(1);
    });

    it('what it waits for is answered in its place', async () => {
      const command = `touch ${system().newFile('asked')}`;
      const steps = [{ tool: { name: 'Bash', input: { command }, asks: true as const } }];
      const id = await make({ prompt: fakePrompt(steps), onPermissionDenied: 'ask' });
      const { page, looksRight } = await open();
      await page.goto(`/sessions/${id}`);
      const asked = page.getByRole('region', { name: 'It waits for your answer' });
      await asked.getByText(command).first().waitFor(WAIT);
      await looksRight();
      await asked.getByRole('button', { name: 'Deny …' }).click();
      await asked.getByRole('button', { name: 'Deny', exact: true }).click();
      await expect.poll(() => asked.count(), POLL).toBe(0);
      await seen(page, /was denied/);
      await status(page, 'ready');
    });

    it('a fork goes on from here, apart from what it was made of', async () => {
      const { id, page } = await chat('the beginning');
      await seen(page, 'fake: the beginning');
      await page.getByRole('button', { name: 'Fork' }).click();
      await page.waitForURL((url) => url.pathname.startsWith('/sessions/') && !url.pathname.endsWith(id));
      await page.getByRole('complementary', { name: 'Facts' }).getByText('Forked from').waitFor(WAIT);
      await message(page).fill('another way');
      await page.keyboard.press('Enter');
      await seen(page, 'fake: another way');
      expect(await turnsOf(id)).toHaveLength(1);
      await page.getByRole('complementary', { name: 'Facts' }).getByRole('link').first().click();
      await page.waitForURL(`/sessions/${id}`);
      await seen(page, 'fake: the beginning');
      expect(await page.getByText('another way').count()).toBe(0);
    });

    it('a closed one takes no message', async () => {
      // The page may hear of the end of the session before the answer to its deletion.
      const { page } = await chat('soon closed', { expected: /404/ });
      await seen(page, 'fake: soon closed');
      await page.getByRole('button', { name: 'Close' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Close it' }).click();
      await page.getByText('This session is closed. It takes no further message.').waitFor(WAIT);
      expect(await message(page).count()).toBe(0);
      await page.getByRole('button', { name: 'Delete' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Delete it' }).click();
      await page.waitForURL('/sessions');
    });

    it('it and the other screens go on after a restart, without a reload or a login', async () => {
      const [streaming, go] = [system().newFile('streaming'), system().newFile('go')];
      const expected = /ERR_CONNECTION|WebSocket|Failed to load|50[023]/;
      const { id, page, context } = await chat('before the restart', { expected });
      await seen(page, 'fake: before the restart');
      const jobs = await context.newPage();
      await jobs.goto('/jobs');
      await jobs.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor(WAIT);
      for (const one of [page, jobs]) await one.evaluate('window.isTheSame = true');
      await message(page).fill('a draft that stays');
      const { port } = new URL(system().server.url);
      await system().server.stop();
      for (const one of [page, jobs]) await one.getByText(/server is away/).waitFor(WAIT);
      await system().restart({ BULLPEN_PORT: port });
      for (const one of [page, jobs])
        await expect.poll(() => one.getByText(/server is away/).count(), POLL).toBe(0);
      expect(await message(page).inputValue()).toBe('a draft that stays');
      await message(page).fill(
        fakePrompt(
          [{ delta: 'first. ' }, { touch: streaming }, { waitFor: go }, { delta: 'last.' }],
          'after it',
        ),
      );
      await page.keyboard.press('Enter');
      await seen(page, 'first.');
      await seen(jobs, /^after it/);
      writeFileSync(go, '');
      await seen(page, 'first. last.');
      expect(await page.getByText('fake: before the restart', { exact: true }).count()).toBe(1);
      expect(await turnsOf(id)).toHaveLength(2);
      for (const one of [page, jobs]) expect(await one.evaluate('window.isTheSame')).toBe(true);
    });

    it('is accessible and fits, in both sizes and themes', async () => {
      const long = 'x'.repeat(400);
      const gate = gated(system());
      const id = await make({ name: 'A chat to look at', prompt: `long ${long}`, tags: ['one'] });
      await system().server.api('POST', `/v1/sessions/${id}/messages`, { prompt: gate.prompt });
      await system().server.api('POST', `/v1/sessions/${id}/messages`, { prompt: `queued ${long}` });
      const { page, looksRight } = await open({ size: PHONE });
      await page.goto(`/sessions/${id}`);
      await page.getByRole('button', { name: 'Steer' }).waitFor(WAIT);
      await page.getByLabel('Messages on their way').waitFor(WAIT);
      await looksRight();
      gate.letGo();
    });
  });
}
