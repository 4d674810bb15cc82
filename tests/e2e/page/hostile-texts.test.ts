/** Texts of prompts, outputs, tools, tags and names are shown, and never obeyed. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../../scripts/chromium.ts';
import type { Step } from '../../fakes/fake-cli-steps.ts';
import { openPage, sharedBrowser } from '../../helpers/browser.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { HOSTILE_HTML, HOSTILE_TEXTS } from '../../helpers/hostile-texts.ts';
import { sharedFakeSystem } from '../fake-system.ts';

const ALL = HOSTILE_TEXTS.join('\n\n');
/** A tag has at most 64 characters. */
const TAG = '"><svg onload="window.pwned = 1">';

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

describe.runIf(hasChromium)('a hostile text', () => {
  const shared = sharedFakeSystem({ config: { terminals: { enabled: true } } });
  const browser = sharedBrowser();
  let jobId = '';
  let failedId = '';

  beforeAll(async () => {
    const { server } = shared();
    const about = { tags: [TAG], metadata: { [TAG.replaceAll(/\W/g, '')]: TAG } };
    const job = await server.run({ prompt: fakePrompt(STEPS, ALL), ...about });
    expect(job.status).toBe('succeeded');
    jobId = job.id;
    const failing: readonly Step[] = [
      { result: { is_error: true, subtype: 'error_during_execution', result: ALL, errors: [ALL] } },
    ];
    failedId = (await server.run({ prompt: fakePrompt(failing, ALL), ...about })).id;
    for (const name of HOSTILE_HTML)
      await server.api('POST', '/v1/keys', { name: name.slice(0, 64), scopes: ['jobs:read'] });
    await server.api('POST', '/v1/sessions', { name: TAG, tags: [TAG] });
    writeFileSync(join(server.workspace, '<img src=x onerror=alert(1)>'), '');
  });

  /** Opens what is folded, and checks that nothing of the texts became more than text. */
  async function expectText(page: Page): Promise<void> {
    await page.getByRole('heading', { level: 1 }).first().waitFor();
    await page.waitForLoadState('networkidle');
    for (const summary of await page.locator('summary:visible').all()) await summary.click();
    for (const folded of await page.locator('main [aria-expanded="false"]:visible').all())
      if (await folded.isVisible()) await folded.click();
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

  const open = async (path: string, expected = /^(?!)/): Promise<Page> => {
    const { url, token } = shared().server;
    const { page } = await openPage(browser(), { url, token, expected });
    await page.goto(path);
    return page;
  };

  it.each([
    ...['/', '/jobs', '/jobs?group=batch', '/jobs/new', '/sessions', '/usage', '/usage?by=tag'],
    ...['/system', '/system/keys', '/system/audit', '/system/settings', '/system/processes'],
    `/jobs?q=${encodeURIComponent(HOSTILE_HTML[0])}&tag=${encodeURIComponent(TAG)}`,
  ])('is text on %s', async (path) => {
    await expectText(await open(path));
  });

  it('is text in the address of a job that is not there', async () => {
    await expectText(await open(`/jobs/${encodeURIComponent(HOSTILE_HTML[1])}`, /404/));
  });

  it.each(['', '?tab=result', '?tab=executions', '?tab=raw', '?tab=how'])(
    'is text in each part of a job: %s',
    async (query) => {
      await expectText(await open(`/jobs/${jobId}${query}`));
      await expectText(await open(`/jobs/${failedId}${query}`));
    },
  );

  it('is seen as it was written', async () => {
    const page = await open(`/jobs/${jobId}`);
    await page.getByText('<script>window.pwned = 1; alert(1)</script>').first().waitFor();
  });
});
