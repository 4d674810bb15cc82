/** The screen of the system: every part and action, against a real server. */
import type { Browser, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../../src/client/client.ts';
import type { Scope } from '../../../src/protocol/key.ts';
import { openPage, PHONE } from '../../helpers/browser.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { type FakeSystem, PATIENCE } from '../fake-system.ts';

const PARTS = ['Providers', 'Nodes', 'Processes', 'Queue', 'Keys', 'Audit', 'Settings'];
/** A busy machine is not ready for a moment, which the page then shows. */
const NOT_READY = /503 .*\/ready/;
const HOSTILE = `<img src=x onerror=alert(1)>‮\u001b[31m"'--`;

export function screenOfSystem(system: () => FakeSystem, browser: () => Browser): void {
  describe('the system', { timeout: 180_000 }, () => {
    const client = () => createClient({ url: system().server.url, token: system().server.token });
    const open = (options: Partial<Parameters<typeof openPage>[1]> = {}) =>
      openPage(browser(), {
        ...{ url: system().server.url, token: system().server.token, expected: NOT_READY },
        ...options,
      });
    const keyWith = async (scopes: Scope[]): Promise<string> =>
      (await client().createKey({ name: 'narrow', project: 'web', scopes })).token ?? expect.unreachable();
    const tab = (page: Page, name: string) =>
      page.getByRole('navigation', { name: 'Parts of the system' }).getByRole('link', { name });
    const row = (page: Page, text: string) => page.getByRole('row').filter({ hasText: text });
    const toast = (page: Page, text: string) => page.getByText(text, { exact: true }).waitFor();
    /** A job that runs until it is ended. */
    const runningJob = async (): Promise<string> => {
      const id = await system().submit({ prompt: fakePrompt([{ delta: 'working' }, { hang: true }]) });
      await eventually(
        async () => (await client().processes()).data.some(({ jobId }) => jobId === id),
        PATIENCE,
      );
      return id;
    };

    it('every part is reachable and accessible, in both sizes and themes', async () => {
      await client().createKey({ name: HOSTILE, project: 'web', scopes: ['jobs:write', 'usage:read'] });
      await client().pauseQueue({ project: 'web' });
      const { page, looksRight } = await open({ size: PHONE });
      await page.goto('/system');
      await page.getByText('ready', { exact: true }).waitFor();
      for (const name of PARTS) {
        await tab(page, name).click();
        await page.locator('.data-table, .provider-cards, .state').first().waitFor();
        expect(new URL(page.url()).pathname).toBe(`/system/${name.toLowerCase()}`);
        if (name === 'Processes') continue; // as empty as the inbox
        await looksRight({ darkOnPhone: name === 'Keys' }); // all tables look the same there
      }
      await client().resumeQueue({ project: 'web' });
    });

    it('asks the server again only for the part that is shown, and only while the page is seen', async () => {
      const { page } = await open();
      const asked: string[] = [];
      let underWay = 0;
      page.on('request', (request) => {
        asked.push(new URL(request.url()).pathname);
        underWay += 1;
      });
      const over = (): void => {
        underWay -= 1;
      };
      page.on('requestfinished', over);
      page.on('requestfailed', over);
      /** How often it has asked for the keys, after one more second. */
      const laterCount = async (): Promise<number> => {
        await page.clock.runFor(1000);
        return countOf('/v1/keys');
      };
      const countOf = (path: string): number => asked.filter((one) => one === path).length;
      await page.clock.install();
      await page.goto('/system/keys');
      await expect.poll(laterCount).toBeGreaterThan(2);
      expect(asked.filter((path) => /^\/v1\/(nodes|processes|queue)/.test(path))).toEqual([]);
      const see = (state: 'hidden' | 'visible') =>
        page.evaluate(
          `Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true });
         document.dispatchEvent(new Event('visibilitychange'));`,
        );
      await see('hidden');
      await expect.poll(() => underWay).toBe(0);
      const before = asked.length;
      await page.clock.runFor(10_000);
      expect(asked.slice(before)).toEqual([]);
      await see('visible');
      await expect.poll(laterCount).toBeGreaterThan(4);
    });

    it('shows each CLI with its version, its login and what to do', async () => {
      const { page } = await open();
      await page.goto('/system');
      const claude = page
        .getByRole('listitem')
        .filter({ has: page.getByRole('heading', { name: 'claude' }) });
      await claude.getByText('Program').waitFor();
      const gemini = page
        .getByRole('listitem')
        .filter({ has: page.getByRole('heading', { name: 'gemini' }) });
      await gemini.getByText('not installed').waitFor();
    });

    it('drains a node, and resumes it', async () => {
      const { page } = await open();
      await page.goto('/system/nodes');
      await page.getByRole('button', { name: /^Drain / }).click();
      await page.getByText('drained', { exact: true }).waitFor();
      expect((await client().nodes())[0]?.status).toBe('drained');
      await page.getByRole('button', { name: /^Resume / }).click();
      await page.getByText('takes jobs', { exact: true }).waitFor();
      expect((await client().nodes())[0]?.status).toBe('ok');
    });

    it('shows what runs with what it uses, and ends it', async () => {
      const id = await runningJob();
      const { page } = await open();
      await page.goto('/system/processes');
      const shown = row(page, `job ${id.slice(-6)}`);
      await shown.getByText('running').waitFor();
      await shown.getByRole('button', { name: /^End claude/ }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Force' }).click();
      await expect.poll(() => shown.count()).toBe(0);
      expect(await system().server.finished(id)).toMatchObject({ status: 'cancelled' });
    });

    it('pauses and resumes all jobs, those of a provider, and those of a project', async () => {
      const { page } = await open();
      await page.goto('/system/queue');
      await page.getByRole('heading', { name: 'Nothing is paused' }).waitFor();
      await page.getByRole('button', { name: 'Pause all jobs' }).click();
      await row(page, 'all jobs').waitFor();
      await page.getByLabel('Provider').selectOption('claude');
      await page.getByRole('button', { name: 'Pause provider' }).click();
      await row(page, 'jobs of claude').waitFor();
      await page.getByLabel('Project').fill('web');
      await page.getByLabel('Project').press('Enter');
      await row(page, 'jobs of project web').waitFor();
      expect(await client().paused()).toHaveLength(3);
      for (const name of ['all jobs', 'jobs of claude', 'jobs of project web'])
        await page.getByRole('button', { name: `Resume ${name}`, exact: true }).click();
      await page.getByRole('heading', { name: 'Nothing is paused' }).waitFor();
      expect(await client().paused()).toEqual([]);
    });

    it('makes a key whose token is shown once and works, rotates it and revokes it', async () => {
      const { page } = await open();
      await page.goto('/system/keys');
      await page.getByRole('button', { name: 'New key' }).click();
      const form = page.getByRole('dialog', { name: 'New key' });
      await form.getByLabel('Name').fill('for-ci');
      // A selection may end beside the dialog.
      await form.getByLabel('Name').hover();
      await page.mouse.down();
      await page.mouse.move(5, 5);
      await page.mouse.up();
      await form.getByRole('button', { name: 'Create key' }).click();
      await form.getByRole('alert').getByText('Check what the key may do').waitFor();
      await form.getByLabel('Project', { exact: true }).fill('web');
      await form.getByLabel('jobs:write').check();
      await form.getByLabel('It ends').selectOption('in 30 days');
      await form.getByText('Limits').click();
      await form.getByLabel('Jobs that run at once').fill('2');
      await form.getByLabel('Folders').fill('/srv/web\n/srv/api');
      await form.getByRole('button', { name: 'Create key' }).click();

      const tokenOf = async (): Promise<string> => {
        const dialog = page.getByRole('dialog', { name: 'Token of for-ci' });
        const token = (await dialog.locator('pre').textContent()) ?? '';
        await dialog.getByRole('button', { name: 'Done' }).click();
        return token;
      };
      const whoIs = (token: string) => createClient({ url: system().server.url, token }).me();
      const first = await tokenOf();
      expect(await whoIs(first)).toMatchObject({
        ...{ project: 'web', scopes: ['jobs:write'], maxRunning: 2, roots: ['/srv/web', '/srv/api'] },
      });
      expect(await page.content()).not.toContain(first);
      await row(page, 'for-ci').getByText('/srv/web').waitFor();

      await page.getByRole('button', { name: 'Rotate for-ci' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).click();
      const second = await tokenOf();
      await expect(whoIs(first)).rejects.toThrow();
      expect((await whoIs(second)).project).toBe('web');

      await page.getByRole('button', { name: 'Revoke for-ci' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
      await row(page, 'for-ci').getByText('revoked').waitFor();
      await toast(page, 'for-ci is revoked');
      await expect(whoIs(second)).rejects.toThrow();
    });

    it('shows who did what, filtered by the address, and verifies it', async () => {
      const { id } = await client().createKey({ name: 'audited', scopes: ['jobs:read'] });
      await client().revokeKey(id);
      const { page } = await open();
      await page.goto(`/system/audit?target=${id}`);
      await row(page, 'key created').waitFor();
      await row(page, 'key revoked').waitFor();
      await page.getByLabel('Action').selectOption('key.revoked');
      await expect.poll(() => row(page, 'key created').count()).toBe(0);
      expect(new URL(page.url()).searchParams.get('action')).toBe('key.revoked');
      await page.getByRole('button', { name: 'Verify' }).click();
      await page.getByText('are as they were written').waitFor();
    });

    it('shows the settings in force, and finds them', async () => {
      const { page } = await open();
      await page.goto('/system/settings');
      await row(page, 'BULLPEN_KEEP_JOBS_MS').waitFor();
      await page.getByLabel('Search the settings').fill('sweep');
      await expect.poll(() => page.getByRole('row').count()).toBe(2);
      await row(page, 'BULLPEN_SWEEP_MS').getByText('environment').waitFor();
      await page.getByLabel('Search the settings').fill('');
      await page.getByLabel('Only those that are set').check();
      await expect.poll(() => row(page, 'BULLPEN_KEEP_JOBS_MS').count()).toBe(0);
    });

    it('offers a caller what it may see and do, and nothing else', async () => {
      const { page } = await open({ token: await keyWith(['jobs:read']), expected: /40[13]/ });
      await page.goto('/system/queue');
      await page.getByRole('heading', { name: 'Nothing is paused' }).waitFor();
      for (const name of ['Providers', 'Queue']) await tab(page, name).waitFor();
      expect(await page.locator('.tabs a').allTextContents()).toEqual(['Providers', 'Queue']);
      expect(await page.getByRole('button', { name: /Pause/ }).count()).toBe(0);
      for (const name of ['Bull Board', 'Metrics'])
        expect(await page.getByRole('link', { name }).count(), name).toBe(0);
      await page.goto('/system/keys');
      await page.getByRole('heading', { name: 'There is no such part, or you may not see it' }).waitFor();
    });

    it('offers the audit of its project to whom may read it, but not its verification', async () => {
      const { page } = await open({ token: await keyWith(['audit:read']) });
      await page.goto('/system/audit');
      await page.locator('.data-table, .state').first().waitFor();
      expect(await page.getByRole('button', { name: 'Verify' }).count()).toBe(0);
    });

    it('is used by keyboard alone', async () => {
      const { page } = await open();
      await page.goto('/system/keys');
      await page.getByRole('button', { name: 'New key' }).waitFor();
      await page.keyboard.press('n');
      await page.getByRole('dialog', { name: 'New key' }).waitFor();
      await page.mouse.click(5, 5);
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      await page.keyboard.press('n');
      await page.getByLabel('Name').fill('by-keyboard');
      await page.getByLabel('usage:read').focus();
      await page.keyboard.press('Space');
      await page.getByLabel('Name').press('Enter');
      await page.getByRole('dialog', { name: 'Token of by-keyboard' }).waitFor();
      await page.keyboard.press('Escape');
      await row(page, 'by-keyboard').waitFor();
    });
  });
}
