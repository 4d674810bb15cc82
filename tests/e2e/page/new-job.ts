/** A new job: a form that is made from the schema of the API. */
import type { Browser } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../../src/client/client.ts';
import { openPage, PHONE } from '../../helpers/browser.ts';
import type { FakeSystem } from '../fake-system.ts';

export function newJob(system: () => FakeSystem, browser: () => Browser): void {
  describe('a new job', () => {
    const client = () => createClient({ url: system().server.url, token: system().server.token });
    const open = async (path = '/jobs/new', options: Partial<Parameters<typeof openPage>[1]> = {}) => {
      const opened = await openPage(browser(), {
        ...{ url: system().server.url, token: system().server.token },
        ...options,
      });
      await opened.page.goto(path);
      await opened.page.getByLabel('Prompt', { exact: true }).waitFor();
      return opened;
    };
    const jobAt = async (url: string) => system().server.job(new URL(url).pathname.split('/')[2] ?? '');

    it('is sent with its options by Ctrl+Enter, and goes to the job', async () => {
      const { page } = await open();
      await page.getByLabel('Prompt', { exact: true }).fill("it's from the form");
      await page.getByLabel('Provider', { exact: true }).selectOption('claude');
      await page.getByLabel('Model').fill('sonnet');
      await page.getByLabel('Tags').fill('one\ntwo');
      await page.locator('summary', { hasText: 'Limits' }).click();
      await page.getByLabel('Timeout', { exact: true }).fill('15m');
      await page.locator('summary', { hasText: 'When it runs' }).click();
      await page.getByLabel('Priority').fill('3');
      await page.getByText('As a command').click();
      await page.getByText(`bullpen run 'it'\\''s from the form'`).waitFor();
      await page.getByText('--priority 3').waitFor();
      await page.getByText(`${system().server.url}/v1/jobs`).waitFor();
      await page.getByLabel('Prompt', { exact: true }).press('Control+Enter');
      await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/jobs\/01/);
      expect(await jobAt(page.url())).toMatchObject({
        ...{ prompt: "it's from the form", model: 'sonnet', tags: ['one', 'two'], priority: 3 },
      });
    });

    it('is made once, by keys that are held and after answers that were lost', async () => {
      const { page } = await open('/jobs/new', { expected: /ERR_FAILED/ });
      const keys: (string | undefined)[] = [];
      let answers = false;
      await page.route('**/v1/jobs', async (route) => {
        if (route.request().method() !== 'POST') return route.fallback();
        keys.push(route.request().headers()['idempotency-key']);
        await (answers ? route.continue() : route.abort());
      });
      const prompt = page.getByLabel('Prompt', { exact: true });
      await prompt.fill('only once');
      for (let i = 0; i < 3; i++) await prompt.press('Control+Enter');
      await page.getByText(/cannot be reached/).waitFor();
      const [first] = keys;
      expect(new Set(keys)).toEqual(new Set([first]));
      answers = true;
      await page.getByRole('button', { name: 'Send' }).click();
      await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/jobs\/01/);
      expect(new Set(keys)).toEqual(new Set([first]));
      expect((await client().list({ q: 'only once' })).data).toHaveLength(1);
    });

    it('keeps the prompt until it is sent, also when the login ends meanwhile', async () => {
      const { page, context } = await open('/jobs/new', { expected: /401/ });
      const prompt = page.getByLabel('Prompt', { exact: true });
      await prompt.fill('long and thoughtful');
      await context.request.post('/logout', { headers: { origin: system().server.url } });
      await page.goto('/jobs/new');
      await page.getByLabel('Token').fill(system().server.token);
      await page.getByRole('button', { name: 'Log in' }).click();
      await expect.poll(() => prompt.inputValue()).toBe('long and thoughtful');
      await prompt.press('Control+Enter');
      await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/jobs\/01/);
      await page.goto('/jobs/new');
      await expect.poll(() => prompt.inputValue()).toBe('');
    });

    it('shows what the server refuses at its field, and what cannot be read', async () => {
      const { page } = await open('/jobs/new', { expected: /400/ });
      await page.getByLabel('Prompt', { exact: true }).fill('refused');
      await page.getByLabel('Model').fill('not a model!');
      await page.getByRole('button', { name: 'Send' }).click();
      await page.getByText('has a form or characters that are not allowed', { exact: true }).waitFor();
      expect(await page.getByLabel('Model').getAttribute('aria-invalid')).toBe('true');
      await page.getByLabel('Model').fill('');
      await page.locator('summary', { hasText: 'The answer' }).click();
      await page.getByLabel('Schema of the answer').fill('{');
      await page.locator('summary', { hasText: 'The answer' }).click();
      await page.getByRole('button', { name: 'Send' }).click();
      await page.getByText(/^is not JSON/).waitFor();
      await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('field-outputSchema');
    });

    it('several prompts are a batch', async () => {
      const { page } = await open();
      await page.getByLabel('Prompt', { exact: true }).fill('first\n---\nsecond');
      await page.getByLabel('Tags').fill('pair');
      await page.getByRole('button', { name: 'Send 2 jobs' }).click();
      await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/batches\/01/);
      const batch = new URL(page.url()).pathname.split('/')[2] ?? '';
      await expect
        .poll(async () =>
          (await client().list({ batch, tag: ['pair'] })).data.map((one) => one.promptPreview),
        )
        .toEqual(['second', 'first']);
    });

    it('begins with every option of a job, and sends what is not edited as it was', async () => {
      const asked = {
        ...{
          prompt: 'one\n---\nprompt',
          provider: 'claude',
          effort: 'high',
          maxTurns: 3,
          timeoutMs: 5_400_000,
        },
        ...{ limits: { processes: 50 }, outputSchema: { type: 'object' }, tags: [' a '] },
        ...{
          metadata: { 'k=': 'v\nw' },
          retry: { maxAttempts: 2, mode: 'restart' },
          continuePrompt: 'Go on',
        },
      };
      const first = await system().server.run(asked);
      expect(first.request).toMatchObject(asked);
      const { page } = await open(`/jobs/new?from=${first.id}`);
      for (const group of await page.locator('summary').all()) await group.click();
      const shown = await page
        .locator('[id^="field-"]')
        .evaluateAll((fields) => fields.map((one) => ('value' in one ? [one.id.slice(6), one.value] : [])));
      expect(Object.fromEntries(shown.filter(([, value]) => value !== ''))).toEqual({
        ...{ provider: 'claude', cwd: first.cwd, permissionMode: 'default', effort: 'high', tags: ' a ' },
        ...{ maxTurns: '3', timeoutMs: '90m', idleTimeoutMs: '15m', 'limits-processes': '50' },
        ...{ 'retry-maxAttempts': '2', 'retry-mode': 'restart', continuePrompt: 'Go on' },
        ...{ outputSchema: '{\n  "type": "object"\n}', metadata: 'k==v\nw' },
      });
      await page.getByLabel('Prompt', { exact: true }).fill('another prompt');
      await page.getByLabel('Tags').fill('');
      await page.getByLabel('Retry: mode').selectOption('continue');
      await page.getByRole('button', { name: 'Send' }).click();
      await expect.poll(() => new URL(page.url()).pathname).not.toBe('/jobs/new');
      const retried = await jobAt(page.url());
      expect(retried).toMatchObject({ retryOf: first.id, tags: [] });
      const { tags: _tags, ...kept } = first.request;
      const retry = { maxAttempts: 2, mode: 'continue' };
      expect(retried.request).toEqual({ ...kept, prompt: 'another prompt', retry });
      // A retry keeps what it is not told, so one without a limit of turns is a job of its own.
      await page.goto(`/jobs/new?from=${first.id}`);
      await page.locator('summary', { hasText: 'Limits' }).click();
      await page.getByLabel('Most turns').fill('');
      await page.getByText('It begins with every option of the job, and is not linked to it.').waitFor();
      await page.getByRole('button', { name: 'Send' }).click();
      await expect.poll(() => new URL(page.url()).pathname).not.toBe('/jobs/new');
      const { maxTurns: _, ...rest } = first.request;
      expect(await jobAt(page.url())).toMatchObject({ retryOf: null, request: rest });
      expect((await jobAt(page.url())).request).not.toHaveProperty('maxTurns');
    });

    it('has every option of the schema, is accessible and fits, in both sizes and themes', async () => {
      const { page, looksRight } = await open('/jobs/new', { size: PHONE });
      for (const group of await page.locator('summary').all()) await group.click();
      await page.getByLabel('Prompt', { exact: true }).fill('a prompt');
      await page.getByRole('button', { name: 'Send' }).click({ trial: true }); // it is enabled
      const api = await (await system().server.api('GET', '/openapi.json')).json();
      const names = Object.keys(api.components.schemas.PromptRequest.properties);
      const shown = await page
        .locator('[id^="field-"]')
        .evaluateAll((fields) => fields.map(({ id }) => id.split('-')[1] ?? ''));
      expect(names.filter((name) => name !== 'prompt' && !shown.includes(name))).toEqual([]);
      await looksRight();
    });
  });
}
