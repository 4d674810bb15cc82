/** Texts of prompts, outputs, tools, tags and names are shown, and never obeyed. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Session } from '../../../src/protocol/session.ts';
import type { Step } from '../../fakes/fake-cli-steps.ts';
import { openPage } from '../../helpers/browser.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { HOSTILE_HTML, HOSTILE_TEXTS } from '../../helpers/hostile-texts.ts';
import type { FakeSystem } from '../fake-system.ts';

const ALL = HOSTILE_TEXTS.join('\n\n');
/** A tag has at most 64 characters. */
const TAG = '"><svg onload="window.pwned = 1">';
const TALL = { width: 1280, height: 8000 };
const FOLDER = '<img src=x onerror="window.pwned = 1">';

const STEPS: readonly Step[] = [
  ...HOSTILE_TEXTS.map((text) => ({ delta: `${text}\n\n` })),
  { tool: { name: 'Bash', input: { command: `echo ${ALL}` }, output: ALL } },
  { tool: { name: TAG, input: { [TAG]: ALL }, output: ALL, isError: true } },
  {
    tool: {
      name: 'Edit',
      input: { file_path: `/srv/${TAG}.ts`, old_string: ALL, new_string: `${ALL}\n${TAG}` },
      output: ALL,
    },
  },
  { tool: { name: 'Write', input: { file_path: `/srv/${TAG}`, content: ALL }, output: '' } },
  {
    tool: {
      name: 'TodoWrite',
      input: { todos: [{ content: ALL, status: TAG, activeForm: TAG }] },
      output: '',
    },
  },
  { line: ALL.replaceAll('\n', ' ') },
  { result: { result: ALL } },
];

export function hostileTexts(shared: () => FakeSystem, browser: () => Browser): void {
  describe('a hostile text', () => {
    let jobId = '';
    let failedId = '';
    let runningId = '';
    let sessionId = '';
    const go = (): string => join(shared().server.workspace, 'go');

    beforeAll(async () => {
      const { server } = shared();
      const cwd = join(server.workspace, FOLDER);
      mkdirSync(cwd);
      const about = { tags: [TAG], metadata: { [TAG.replaceAll(/\W/g, '')]: TAG }, cwd };
      const job = await server.run({ prompt: fakePrompt(STEPS, ALL), ...about });
      expect(job.status).toBe('succeeded');
      jobId = job.id;
      const failing: readonly Step[] = [
        { result: { is_error: true, subtype: 'error_during_execution', result: ALL, errors: [ALL] } },
      ];
      failedId = (await server.run({ prompt: fakePrompt(failing, ALL), ...about })).id;
      runningId = await shared().submit({ prompt: fakePrompt([{ waitFor: go() }], ALL), ...about });
      for (const name of HOSTILE_HTML) {
        const key = { name: name.slice(0, 64), scopes: ['jobs:read'] };
        expect((await server.api('POST', '/v1/keys', key)).status).toBe(201);
      }
      const request = { name: TAG, tags: [TAG], prompt: fakePrompt(STEPS, ALL) };
      const made = await server.api('POST', '/v1/sessions', request);
      sessionId = ((await made.json()) as Session).id; // the documented answer
    });

    /** Opens what is folded, and checks that nothing of the texts became more than text. */
    async function expectText(page: Page): Promise<void> {
      await expect.poll(() => page.getByRole('status', { name: 'Loading' }).count()).toBe(0);
      await page.evaluate(`
      for (const one of document.querySelectorAll(
        'main details:not([open]) > summary, main [aria-expanded="false"]')) one.click();
      new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))`);
      const found = await page.evaluate(`({
      pwned: window.pwned ?? null,
      title: document.title,
      hidden: getComputedStyle(document.querySelector('main')).display === 'none',
      foreign: [...document.querySelectorAll('iframe, object, embed, base, img, script')]
        .filter((one) => !/^\\/assets\\//.test(one.getAttribute('src') ?? ''))
        .map((one) => one.outerHTML),
      links: [...document.querySelectorAll('a[href]')]
        .map((one) => one.protocol)
        .filter((protocol) => !/^https?:$/.test(protocol)),
      handlers: [...document.querySelectorAll('*')].filter((one) =>
        one.getAttributeNames().some((name) => name.startsWith('on'))).length,
    })`);
      expect(found).toMatchObject({ pwned: null, hidden: false, foreign: [], links: [], handlers: 0 });
      expect(found).toHaveProperty('title', expect.stringMatching(/Bullpen$/));
    }

    /** What the scripted job does last. */
    const lastTool = (page: Page): Locator => page.getByRole('button', { name: /^TodoWrite/ });
    /** In a window in which every row of a long list is shown. */
    const open = (options: { readonly expected?: RegExp } = {}) =>
      openPage(browser(), { url: shared().server.url, token: shared().server.token, size: TALL, ...options });

    it('is text on each screen that shows it', { timeout: 180_000 }, async () => {
      const { page } = await open();
      const text = (of: string): Locator => page.getByRole('main').getByText(of).first();
      const query = `q=${encodeURIComponent(HOSTILE_HTML[0])}&tag=${encodeURIComponent(TAG)}`;
      const screens: readonly (readonly [string, Locator])[] = [
        ['/', text(HOSTILE_HTML[0])],
        ['/jobs', text(HOSTILE_HTML[0])],
        [`/jobs?${query}`, page.getByRole('button', { name: `Remove the filter Tag: ${TAG}` })],
        ['/sessions', text(TAG)],
        [`/sessions/${sessionId}`, lastTool(page)],
        ['/usage?by=tag', text(TAG)],
        ['/system/keys', text(HOSTILE_HTML[0])],
        ['/system/processes', text(FOLDER)],
      ];
      for (const [path, shown] of screens) {
        await page.goto(path);
        await shown.waitFor();
        await expectText(page);
      }
      await page.goto('/jobs/new');
      await page.getByLabel('Prompt', { exact: true }).fill(ALL);
      await text(HOSTILE_HTML[0]).waitFor({ state: 'attached' }); // in the commands, which are folded
      await expectText(page);
      writeFileSync(go(), '');
      await shared().server.finished(runningId);
    });

    it('is text in the address of a job that is not there', async () => {
      const { page } = await open({ expected: /404/ });
      await page.goto(`/jobs/${encodeURIComponent(HOSTILE_HTML[1])}`);
      await page.getByRole('heading', { name: 'There is no such job' }).waitFor();
      await expectText(page);
    });

    it('is text in each part of a job, and seen as it was written', { timeout: 180_000 }, async () => {
      const { page } = await open();
      for (const id of [jobId, failedId]) {
        await page.goto(`/jobs/${id}`);
        await page.getByRole('heading', { level: 1, name: HOSTILE_HTML[0] }).waitFor();
        if (id === jobId) await lastTool(page).waitFor();
        const parts = page.getByRole('navigation', { name: 'Parts of the job' });
        for (const part of ['Transcript', 'Result', 'Executions', 'Raw', 'How']) {
          await parts.getByRole('link', { name: part }).click();
          await parts.locator('[aria-current]', { hasText: part }).waitFor();
          await expectText(page);
        }
      }
    });
  });
}
