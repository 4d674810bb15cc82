/** The page of a job: what it shows, as it comes. */
import { writeFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { openPage, PHONE } from '../../helpers/browser.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { type FakeSystem, reached } from '../fake-system.ts';

const HOSTILE = `<img src=x onerror=alert(1)><script>alert(2)</script> [a](javascript:alert(3)) ![i](https://evil.example/i.png) \u202egpj.exe`;

const STEPS = [
  { delta: 'I look **first**.' },
  {
    tool: {
      name: 'Bash',
      input: { command: 'npm test' },
      output: '\x1b[31mred\x1b[0m\x1b[2J line',
      isError: true,
    },
  },
  { tool: { name: 'Edit', input: { file_path: 'a.ts', old_string: 'one\ntwo', new_string: 'one\nthree' } } },
  { tool: { name: 'Read', input: { file_path: HOSTILE }, output: 'x'.repeat(50_000) } },
  { tool: { name: 'TodoWrite', input: { todos: [{ content: 'Write a test', status: 'completed' }] } } },
  { delta: `The end. ${HOSTILE}` },
] as const;

/** A busy machine takes its time. */

export function pageOfJob(system: () => FakeSystem, browser: () => Browser): void {
  describe('the page of a job', () => {
    const open = (options: Partial<Parameters<typeof openPage>[1]> = {}) =>
      openPage(browser(), { url: system().server.url, token: system().server.token, ...options });
    const ended = async (request: Parameters<ReturnType<typeof system>['submit']>[0]): Promise<string> => {
      const id = await system().submit(request);
      await system().server.finished(id);
      return id;
    };
    const transcript = (page: Page) => page.getByRole('list', { name: 'Transcript' });

    it('shows what the agent says and does, with hostile texts as text', async () => {
      const id = await ended({ prompt: fakePrompt(STEPS, 'Repair the queue'), tags: ['<b>x</b>'] });
      const { page } = await open();
      await page.goto(`/jobs/${id}`);
      await page.getByRole('heading', { level: 1, name: 'Repair the queue' }).waitFor();
      await page.getByRole('link', { name: '<b>x</b>' }).waitFor();
      const list = transcript(page);
      expect(await list.locator('strong').first().textContent()).toBe('first');
      await list.getByText('<script>alert(2)</script>', { exact: false }).last().waitFor();
      expect(await page.locator('main img, main script').count()).toBe(0);
      expect(await page.locator('a[href^="javascript"]').count()).toBe(0);
      expect(await list.getByText('⟨U+202E⟩gpj.exe').count()).toBeGreaterThan(0);

      await list.getByRole('button', { name: /^Bash npm test failed/ }).click();
      expect(await list.locator('.ansi-red').textContent()).toBe('red');
      expect(await list.locator('.tool.open .output').last().textContent()).toBe('red line');

      await list.getByRole('button', { name: /^Edit a.ts/ }).click();
      expect(await list.locator('.diff .removed').textContent()).toContain('two');
      expect(await list.locator('.diff .added').textContent()).toContain('three');

      await list.getByRole('button', { name: /^Read/ }).click();
      const output = list.locator('.tool.open', { hasText: 'Read' }).locator('.output').last();
      expect((await output.textContent())?.length).toBeLessThan(10_000);
      await output.getByRole('button', { name: /^Show all/ }).click();
      await expect.poll(async () => (await output.textContent())?.length).toBe(50_000);

      await list.getByRole('button', { name: /^TodoWrite 1 of 1 done/ }).click();
      await list.locator('.todos').getByText('Write a test').waitFor();
    });

    it('stays where the reader has scrolled to while more comes, and goes to the end on request', async () => {
      const [begun, go, more, end] = ['begun', 'go', 'more', 'end'].map((name) => system().newFile(name));
      const lines = Array.from({ length: 200 }, (_, i) => `line ${i}`).join('\n\n');
      const steps = [
        { delta: lines },
        { touch: begun ?? '' },
        { waitFor: go ?? '' },
        { delta: `\n\n${lines}` },
        { touch: more ?? '' },
        { waitFor: end ?? '' },
        { delta: '\n\nthe last line' },
      ];
      const id = await system().submit({ prompt: fakePrompt(steps) });
      const { page } = await open();
      await page.goto(`/jobs/${id}`);
      await reached(begun ?? '');
      const atEnd = 'scrollY + innerHeight > document.documentElement.scrollHeight - 100 && scrollY > 1000';
      await expect.poll(() => page.evaluate(atEnd)).toBe(true);
      await page.mouse.move(600, 300);
      await page.mouse.wheel(0, -1500);
      const toEnd = page.getByRole('button', { name: 'To the end' });
      await toEnd.waitFor();
      const before = await page.evaluate('scrollY');
      writeFileSync(go ?? '', '');
      await reached(more ?? '');
      const height = 'document.documentElement.scrollHeight';
      await expect.poll(() => page.evaluate(`${height} > scrollY + 3000`)).toBe(true);
      expect(await page.evaluate('scrollY')).toBe(before);
      await toEnd.click();
      await expect.poll(() => page.evaluate(atEnd)).toBe(true);
      writeFileSync(end ?? '', '');
      await page.getByText('the last line', { exact: true }).waitFor();
    });

    it('says what went wrong and what to do, and shows when it waited and ran', async () => {
      const failing = {
        result: {
          is_error: true,
          subtype: 'error_max_turns',
          terminal_reason: 'max_turns',
          errors: ['Reached maximum number of turns'],
        },
      };
      const id = await ended({ prompt: fakePrompt([{ delta: 'so far' }, failing]) });
      const { page } = await open();
      await page.goto(`/jobs/${id}?tab=result`);
      const error = page.getByRole('region', { name: 'Error' });
      const code = (await system().server.job(id)).outcome?.error?.code ?? '';
      await error.getByText(code).waitFor();
      await error.locator('.advice').waitFor();
      await page.getByRole('link', { name: 'Executions' }).click();
      expect(new URL(page.url()).search).toBe('?tab=executions');
      await page.getByText('Execution 1').waitFor();
      await page.getByRole('cell', { name: 'failed' }).waitFor();
      await page.getByRole('cell', { name: /new process/ }).waitFor();
      await page.keyboard.press('1');
      await transcript(page).locator('.said').getByText('so far').waitFor();
      expect(new URL(page.url()).search).toBe('');
    });

    it('shows the answer, the lines of the CLI, and the commands that do the same', async () => {
      const result = { result: { result: '# Done\n\n- one', structured_output: { ok: true } } };
      const prompt = fakePrompt([{ line: '\x1b[31mnot JSON\u202e' }, result], "it's $HOME");
      const schema = { type: 'object', properties: { ok: { type: 'boolean' } } };
      const id = await ended({ prompt, outputSchema: schema });
      const { page } = await open();
      await page.goto(`/jobs/${id}?tab=result`);
      await page.getByRole('region', { name: 'Answer' }).getByRole('heading', { name: 'Done' }).waitFor();
      await page.getByRole('region', { name: 'Structured output' }).getByText('"ok": true').waitFor();
      await page.getByRole('link', { name: 'Raw' }).click();
      await page.getByRole('list', { name: 'Lines' }).getByText('not JSON⟨U+202E⟩').waitFor();
      await page.getByRole('button', { name: 'Copy the raw log' }).waitFor();
      const coming = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Download' }).click();
      expect((await coming).suggestedFilename()).toBe(`${id}.ndjson`);
      await page.getByRole('link', { name: 'How' }).click();
      await page.getByText(`bullpen run $'it\\'s $HOME`).waitFor();
      await page.getByText(`curl ${system().server.url}/v1/jobs/${id}`).first().waitFor();
    });

    it('shows a job that waits for its time, and one that is not there', async () => {
      const id = await system().submit({ prompt: 'later', delayMs: 3_600_000 });
      const { page } = await open({ expected: /404/ });
      await page.goto(`/jobs/${id}`);
      await page.getByText('scheduled until its time').waitFor();
      await page.getByText(/^until .*, in (1 hr|60 min)/).waitFor();
      await transcript(page).getByText('Waits for its time').waitFor();
      await page.goto('/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV');
      await page.getByRole('heading', { name: 'There is no such job' }).waitFor();
      await system().server.api('POST', `/v1/jobs/${id}/cancel`, {});
    });

    it('every part is accessible, and fits, in both sizes and themes', async () => {
      const id = await ended({ prompt: fakePrompt(STEPS, 'Repair the queue'), tags: ['nightly'] });
      const { page, looksRight } = await open({ size: PHONE });
      await page.goto(`/jobs/${id}`);
      for (const name of [/^Bash/, /^Edit/, /^TodoWrite/])
        await transcript(page).getByRole('button', { name }).click();
      for (const part of ['Transcript', 'Result', 'Executions', 'Raw', 'How']) {
        await page
          .getByRole('navigation', { name: 'Parts of the job' })
          .getByRole('link', { name: part })
          .click();
        await expect.poll(() => page.getByRole('status', { name: 'Loading' }).count()).toBe(0);
        await looksRight();
      }
    });
  });
}
