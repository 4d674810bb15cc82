/** A batch: its progress, its jobs, and what can be done with all of them. */

import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../../src/client/client.ts';
import { openPage, PHONE } from '../../helpers/browser.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { type FakeSystem, gated } from '../fake-system.ts';

export function screenOfBatch(system: () => FakeSystem, browser: () => Browser): void {
  describe('the screen of a batch', () => {
    const client = () => createClient({ url: system().server.url, token: system().server.token });
    const open = async (id: string, options: Partial<Parameters<typeof openPage>[1]> = {}) => {
      const opened = await openPage(browser(), {
        ...{ url: system().server.url, token: system().server.token },
        ...options,
      });
      await opened.page.goto(`/batches/${id}`);
      await opened.page.getByRole('heading', { name: /^Batch/ }).waitFor();
      return opened;
    };
    const FAILS = fakePrompt([{ exit: 2 }], 'it fails');

    it('shows how far its jobs are, as they go on, and which prompts were refused', async () => {
      const job = gated(system());
      const { id } = await client().createBatch([
        { prompt: job.prompt },
        { prompt: FAILS },
        { prompt: 'well' },
        { prompt: ' ' },
      ]);
      const { page } = await open(id);
      const progress = page.getByRole('region', { name: 'Progress' });
      await progress.getByText('1 succeeded, 1 failed, 1 running').waitFor();
      await progress.getByText('2 of 3 ended').waitFor();
      await page.getByRole('region', { name: 'Refused prompts' }).getByText('request.invalid').waitFor();
      await page.getByRole('link', { name: 'it fails' }).waitFor();
      job.letGo();
      await progress.getByText('3 of 3 ended').waitFor();
      await progress.getByText('$0.02').waitFor();
      await page.getByRole('button', { name: 'failed', exact: true }).click();
      await expect.poll(() => page.locator('.job-row .title').count()).toBe(1);
    });

    it('retries what failed as a new batch, and gives the results as a file', async () => {
      const { id } = await client().createBatch([{ prompt: FAILS }, { prompt: 'well' }]);
      await eventually(async () => (await client().getBatch(id)).finished);
      const { page } = await open(id);
      const [file] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name: 'Results' }).click(),
      ]);
      const lines = readFileSync(await file.path(), 'utf8')
        .trimEnd()
        .split('\n');
      expect(lines.map((line) => JSON.parse(line).status)).toEqual(['failed', 'succeeded']);
      await page.getByRole('button', { name: 'Retry 1 failed' }).click();
      await page.getByText('1 job retried').waitFor();
      await expect.poll(() => new URL(page.url()).pathname).not.toBe(`/batches/${id}`);
      await page.getByRole('heading', { name: /^Batch/ }).waitFor();
      await page.getByRole('region', { name: 'Progress' }).getByText('1 of 1 ended').waitFor();
    });

    it('cancels all of its jobs, after a question', async () => {
      const { id } = await client().createBatch([
        { prompt: fakePrompt([{ delta: 'x' }, { hang: true }], 'it hangs') },
        { prompt: 'later', delayMs: 3_600_000 },
      ]);
      const { page } = await open(id);
      await page.getByRole('button', { name: 'Cancel …' }).click();
      const dialog = page.getByRole('dialog', { name: 'Cancel this batch?' });
      await dialog.getByText('2 jobs have not ended').waitFor();
      await dialog.getByRole('button', { name: 'Cancel jobs' }).click();
      await page.getByRole('region', { name: 'Progress' }).getByText('2 cancelled').waitFor();
      await expect.poll(() => page.getByRole('button', { name: 'Cancel …' }).count()).toBe(0);
    });

    it('offers no change to a reader', async () => {
      const { id } = await client().createBatch([{ prompt: FAILS }]);
      const { token } = await client().createKey({ name: 'reader', scopes: ['jobs:read'] });
      const { page } = await open(id, { token });
      await page.getByRole('link', { name: 'Results' }).waitFor();
      await page.getByRole('region', { name: 'Progress' }).getByText('1 failed').waitFor();
      expect(await page.getByRole('button', { name: /^(Retry|Cancel)/ }).count()).toBe(0);
    });

    it('is accessible and fits, in both sizes and themes', async () => {
      const { id } = await client().createBatch([{ prompt: FAILS }, { prompt: 'well' }, { prompt: '' }]);
      await eventually(async () => (await client().getBatch(id)).finished);
      const { page, looksRight } = await open(id, { size: PHONE });
      await page.getByRole('link', { name: 'it fails' }).waitFor();
      await page.getByText('request.invalid').waitFor();
      await looksRight();
    });
  });
}
