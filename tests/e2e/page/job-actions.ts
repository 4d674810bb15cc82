/** The page of a job: what can be done with it. */
import type { Browser, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { openPage } from '../../helpers/browser.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { type FakeSystem, gated, PATIENCE } from '../fake-system.ts';

/** A busy machine takes its time. */

export function actionsOnJob(system: () => FakeSystem, browser: () => Browser): void {
  describe('on the page of a job', () => {
    const open = (options: Partial<Parameters<typeof openPage>[1]> = {}) =>
      openPage(browser(), { url: system().server.url, token: system().server.token, ...options });
    const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click();
    const more = async (page: Page, name: string): Promise<void> => {
      await press(page, 'More actions');
      await page.getByRole('dialog', { name: 'More actions' }).getByRole('button', { name }).click();
    };
    const becomes = (id: string, expected: object) =>
      eventually(async () => expect(await system().server.job(id)).toMatchObject(expected), PATIENCE);
    /** The page of a job that has ended. */
    async function openEnded() {
      const id = await system().submit({ prompt: 'hello', tags: ['first'] });
      await system().server.finished(id);
      const opened = await open();
      await opened.page.goto(`/jobs/${id}`);
      return { id, ...opened };
    }

    it('a running job is cancelled', async () => {
      const { prompt, streams } = gated(system());
      const id = await system().submit({ prompt });
      const { page } = await open();
      await page.goto(`/jobs/${id}`);
      await streams();
      await press(page, 'Cancel');
      await page.getByText('cancelled', { exact: true }).first().waitFor();
      await becomes(id, { status: 'cancelled' });
    });

    it('a job that does not end is killed at the second press', async () => {
      const steps = [
        { ignore: ['SIGINT', 'SIGTERM'] as const },
        { delta: 'I stay' },
        { hang: true as const },
      ];
      const id = await system().submit({ prompt: fakePrompt(steps) });
      const { page } = await open();
      const asked: unknown[] = [];
      page.on('request', (request) => {
        if (request.url().endsWith('/cancel')) asked.push(request.postDataJSON());
      });
      await page.goto(`/jobs/${id}`);
      await page.getByText('I stay', { exact: true }).waitFor();
      await page.keyboard.press('x');
      await page.getByRole('button', { name: 'Kill now' }).waitFor();
      await page.keyboard.press('x');
      await becomes(id, { status: 'cancelled' });
      expect(asked).toEqual([{ force: false }, { force: true }]);
    });

    it('an ended job is made again, from the start or in its session', async () => {
      const { id, page } = await openEnded();
      await press(page, 'Retry');
      await page.waitForURL((url) => url.pathname !== `/jobs/${id}`);
      const again = new URL(page.url()).pathname.split('/')[2] ?? '';
      await becomes(again, { retryOf: id });
      await page.getByRole('link', { name: `…${id.slice(-6)}` }).waitFor();
      await system().server.finished(again);
      await page.getByRole('button', { name: 'Continue', exact: true }).waitFor();
      await page.keyboard.press('o');
      await page.waitForURL((url) => url.pathname !== `/jobs/${again}`);
      const { sessionId } = await system().server.job(again);
      await becomes(new URL(page.url()).pathname.split('/')[2] ?? '', { retryOf: again, sessionId });
    });

    it('tags are changed, the job is archived, comes back, and is made again with changes', async () => {
      const { id, page } = await openEnded();
      const edit = page.getByRole('button', { name: 'Edit tags' });
      await edit.focus();
      await page.keyboard.press('Enter');
      await page.getByLabel('Tags, with commas between them').fill('first, second one');
      await page.keyboard.press('Enter');
      await page.getByRole('link', { name: 'second one' }).waitFor();
      await becomes(id, { tags: ['first', 'second one'] });
      await page.keyboard.press('e');
      await page.getByText('archived', { exact: true }).waitFor();
      await becomes(id, { archived: true });
      await more(page, 'Unarchive');
      await becomes(id, { archived: false });
      await more(page, 'Again with changes');
      await page.waitForURL(`**/jobs/new?from=${id}`);
    });

    it('a job is deleted once that was confirmed, and is shown as gone elsewhere', async () => {
      const { id, page } = await openEnded();
      const other = await open({ expected: /404/ });
      await other.page.goto(`/jobs/${id}`);
      await other.page.getByRole('button', { name: 'Retry' }).waitFor();
      await more(page, 'Delete');
      await press(page, 'Keep it');
      expect(await system().server.job(id)).toMatchObject({ id });
      await more(page, 'Delete');
      await page
        .getByRole('dialog', { name: 'Delete this job?' })
        .getByRole('button', { name: 'Delete' })
        .click();
      await page.waitForURL('**/jobs');
      expect((await system().server.api('GET', `/v1/jobs/${id}`)).status).toBe(404);
      await other.page.getByRole('heading', { name: 'There is no such job' }).waitFor();
    });

    it('a message goes into the running turn, or becomes the next one', async () => {
      const id = await system().submit({
        prompt: fakePrompt([{ delta: 'I listen' }, { awaitMessage: true }]),
      });
      const { page } = await open();
      await page.goto(`/jobs/${id}`);
      await page.getByText('I listen', { exact: true }).waitFor();
      const field = page.getByLabel('Message to the agent');
      await page.keyboard.press('m');
      await field.fill('And a next turn');
      await press(page, 'As the next turn');
      await page.getByText('It is the next turn').waitFor();
      await field.fill('Use tabs');
      await page.keyboard.press('Control+Enter');
      await page.getByText('Message into the running turn').waitFor();
      await page.getByText('Use tabs', { exact: true }).waitFor();
      await page.getByText('succeeded', { exact: true }).first().waitFor();
      await expect.poll(() => field.count()).toBe(0);
    });

    it('the running turn is interrupted', async () => {
      const { prompt, streams } = gated(system());
      const id = await system().submit({ prompt });
      const { page } = await open();
      await page.goto(`/jobs/${id}`);
      await streams();
      await press(page, 'Interrupt');
      await eventually(async () => expect((await system().server.job(id)).finished).toBe(true), PATIENCE);
      await page.getByText('The execution ended: Interrupted').first().waitFor();
    });

    it('a call that waits for a person is answered in place', async () => {
      const steps = [{ tool: { name: 'Bash', input: { command: 'touch it' }, asks: true as const } }];
      const id = await system().submit({ prompt: fakePrompt(steps), onPermissionDenied: 'ask' });
      const { page, looksRight } = await open();
      await page.goto(`/jobs/${id}`);
      const asked = page.getByRole('region', { name: 'It waits for your answer' });
      await asked.getByText('touch it', { exact: true }).waitFor();
      await looksRight();
      await asked.getByRole('button', { name: 'Allow', exact: true }).click();
      await page.getByText('was allowed').waitFor();
      await expect.poll(() => asked.count()).toBe(0);
      await system().server.finished(id);
    });

    it('nothing is offered that the caller may not do', async () => {
      const id = await system().submit({ prompt: 'hello' });
      await system().server.finished(id);
      const made = await system().server.api('POST', '/v1/keys', { name: 'reader', scopes: ['jobs:read'] });
      const { token } = (await made.json()) as { token: string }; // the documented answer
      const { page } = await open({ token });
      await page.goto(`/jobs/${id}`);
      await page.getByText('fake: hello').waitFor();
      for (const name of ['Retry', 'Continue', 'More actions', 'Add tags'])
        expect(await page.getByRole('button', { name, exact: true }).count()).toBe(0);
      expect(await page.getByText('Session', { exact: true }).count()).toBe(0);
      await page.keyboard.press('e');
      await page.keyboard.press('2');
      await page.getByRole('region', { name: 'Answer' }).waitFor();
      expect(await system().server.job(id)).toMatchObject({ archived: false });
    });
  });
}
