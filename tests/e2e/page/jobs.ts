/** The list of jobs: filters in the address bar, live rows, one or many jobs at once. */
import type { Browser, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../../src/client/client.ts';
import type { Job } from '../../../src/protocol/job.ts';
import { openPage, PHONE } from '../../helpers/browser.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { type FakeSystem, gated, reached } from '../fake-system.ts';

/** Something to wait for. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

const HOSTILE = '"><script>alert(1)</script>';

export function listOfJobs(system: () => FakeSystem, browser: () => Browser): void {
  describe('the list of jobs', () => {
    const client = () => createClient({ url: system().server.url, token: system().server.token });
    const open = async (path: string, options: Partial<Parameters<typeof openPage>[1]> = {}) => {
      const opened = await openPage(browser(), {
        ...{ url: system().server.url, token: system().server.token },
        ...options,
      });
      await opened.page.goto(path);
      await opened.page.getByRole('heading', { name: 'Jobs', exact: true }).waitFor();
      return opened;
    };
    const run = (prompt: string, request: object = {}): Promise<Job> =>
      system().server.run({ prompt, ...request });
    const fails = (text: string, request: object = {}): Promise<Job> =>
      run(fakePrompt([{ exit: 3 }], text), request);
    /** Jobs that run no CLI, named by `tag` and a number. */
    const waiting = (tag: string, count: number) =>
      client().createBatch(
        Array.from({ length: count }, (_, i) => ({
          ...{ prompt: `${tag} ${i + 1}`, delayMs: 3_600_000, tags: [tag] },
        })),
      );
    const link = (page: Page, text: string) => page.getByRole('link', { name: text });
    const rowOf = (page: Page, text: string) => page.getByRole('listitem').filter({ has: link(page, text) });
    const menuOf = async (page: Page, text: string, item: string): Promise<void> => {
      await rowOf(page, text)
        .getByRole('button', { name: /^Actions for/ })
        .click();
      await page.getByRole('dialog').getByRole('button', { name: item }).click();
    };

    it('says what a job is while there is none', async () => {
      const { page } = await open('/jobs');
      await page.getByRole('heading', { name: 'No jobs yet' }).waitFor();
    });

    it('shows a new job, its states, its cost and its tags', async () => {
      const { page } = await open('/jobs');
      const job = gated(system());
      const id = await system().submit({ prompt: `watched ${job.prompt}`, tags: ['live'], model: 'sonnet' });
      const row = rowOf(page, 'watched');
      await row.getByText('running', { exact: true }).waitFor();
      await row.getByText('live', { exact: true }).waitFor();
      await row.getByText('sonnet').waitFor();
      job.letGo();
      await row.getByText('succeeded', { exact: true }).waitFor();
      await row.getByText('$0.01').waitFor();
      await link(page, 'watched').click();
      await expect.poll(() => new URL(page.url()).pathname).toBe(`/jobs/${id}`);
    });

    it('the address bar alone restores the view', async () => {
      await run('apple', { tags: ['fruit'] });
      await fails('pear', { tags: ['fruit'] });
      await client().change((await run('old apple', { tags: ['fruit'] })).id, { archived: true });
      await system().submit({ prompt: 'later', tags: ['fruit'], delayMs: 3_600_000 });
      const { page } = await open('/jobs?status=failed&status=scheduled&tag=fruit');
      const titles = async () =>
        (await page.locator('.job-row .title').allTextContents()).map((title) => title.split('\n')[0]);
      await expect.poll(titles).toEqual(['later', 'pear']);
      await page.goto('/jobs?archived=true&tag=fruit');
      await expect.poll(titles).toEqual(['old apple']);
      await page.goto('/jobs?createdBefore=2020-01-01T00:00:00Z&project=default&tag=fruit');
      await page.getByRole('heading', { name: 'No job matches' }).waitFor();
      for (const name of [/^Remove the filter Created before: /, /Project: default$/, /Tag: fruit$/])
        await page.getByRole('button', { name }).waitFor();
    });

    it('filters by chips, by words, and by the menu; each filter can be removed', async () => {
      await fails('searched for', { tags: ['menu'] });
      const { page } = await open('/jobs');
      await page.getByRole('button', { name: 'failed', exact: true }).click();
      await expect.poll(() => new URL(page.url()).search).toBe('?status=failed');
      await page.getByLabel('Search prompts and answers').fill('searched for');
      await expect.poll(() => new URL(page.url()).searchParams.get('q')).toBe('searched for');
      await page.getByRole('button', { name: 'Filter', exact: true }).click();
      const panel = page.getByRole('dialog', { name: 'Add a filter' });
      await panel.getByLabel('Filter by').selectOption('tag');
      await panel.getByLabel('Value').fill('menu');
      await panel.getByRole('button', { name: 'Add' }).click();
      await expect.poll(() => page.locator('.job-row .title').count()).toBe(1);
      await page.getByRole('button', { name: 'Remove the filter Tag: menu' }).click();
      await expect.poll(() => new URL(page.url()).searchParams.get('tag')).toBeNull();
    });

    it('cancels, and kills with a second press; what no longer matches leaves the list', async () => {
      const { page } = await open('/jobs?status=running');
      const ignores = system().newFile('ignores');
      const steps = [{ ignore: ['SIGTERM', 'SIGINT'] }, { touch: ignores }, { hang: true }] as const;
      await system().submit({ prompt: fakePrompt(steps, 'stubborn') });
      await reached(ignores); // before, a first signal would end it
      await rowOf(page, 'stubborn').waitFor();
      await menuOf(page, 'stubborn', 'Cancel');
      await page.getByText('The job is being cancelled').waitFor();
      await menuOf(page, 'stubborn', 'Kill it now');
      await page.getByText('Killed').waitFor();
      await expect.poll(() => link(page, 'stubborn').count()).toBe(0);
    });

    it('retries, archives and deletes one job', async () => {
      const { id } = await fails('many lives');
      const { page } = await open('/jobs?q=many+lives');
      await menuOf(page, 'many lives', 'Retry from the start');
      await expect.poll(() => link(page, 'many lives').count()).toBe(2);
      await page
        .getByRole('button', { name: /^Actions for/ })
        .last()
        .click();
      await page.getByRole('button', { name: 'Archive', exact: true }).click();
      await eventually(async () => (await system().server.job(id)).archived);
      await page.locator('.job-row.archived').waitFor();
      await page
        .getByRole('button', { name: /^Actions for/ })
        .last()
        .click();
      await page.getByRole('button', { name: 'Delete …' }).click();
      await page
        .getByRole('dialog', { name: 'Delete this job?' })
        .getByRole('button', { name: 'Delete' })
        .click();
      await expect.poll(() => link(page, 'many lives').count()).toBe(1);
      expect((await system().server.api('GET', `/v1/jobs/${id}`)).status).toBe(404);
    });

    it('selects with the shift key, and changes many at once', async () => {
      await waiting('crowd', 3);
      const { page } = await open('/jobs?tag=crowd');
      await page.getByRole('checkbox', { name: 'Select crowd 3' }).click();
      await page.getByRole('checkbox', { name: 'Select crowd 1' }).click({ modifiers: ['Shift'] });
      const bar = page.getByRole('toolbar', { name: 'Selected jobs' });
      await bar.getByText('3 jobs').waitFor();
      await bar.getByRole('button', { name: 'Tag' }).click();
      await page.getByRole('dialog').getByLabel('Tag').fill('seen');
      await page.getByRole('button', { name: 'Add the tag' }).click();
      await page.getByText('3 jobs tagged seen').waitFor();
      await eventually(async () => (await client().list({ tag: ['seen', 'crowd'] })).data.length === 3);
      await page.getByRole('checkbox', { name: 'Select crowd 2' }).click();
      await bar.getByRole('button', { name: 'Archive' }).click();
      await page.getByText('1 job archived').waitFor();
    });

    it('changes all that match, and says what was left alone', async () => {
      const failing = [1, 2].map((n) => ({ prompt: fakePrompt([{ exit: 3 }], `all ${n}`), tags: ['all'] }));
      const { id } = await client().createBatch(failing);
      await eventually(async () => (await client().getBatch(id)).finished);
      const { page } = await open('/jobs?tag=all');
      await page.getByRole('checkbox', { name: 'Select all 1' }).click();
      const bar = page.getByRole('toolbar', { name: 'Selected jobs' });
      await bar.getByRole('button', { name: 'Select all that match' }).click();
      await bar.getByRole('button', { name: 'Retry' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Retry jobs' }).click();
      await page.getByText('2 jobs retried').waitFor();
      await page.getByRole('heading', { name: /^Batch/ }).waitFor();
      await page.goto('/jobs?tag=all');
      await page.getByRole('checkbox', { name: 'Select all 1' }).first().click();
      await bar.getByRole('button', { name: 'Select all that match' }).click();
      await bar.getByRole('button', { name: 'Cancel' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Cancel jobs' }).click();
      await page.getByText(/^0 jobs cancelled/).waitFor();
    });

    it('what takes long shows how far it is, and can be stopped', async () => {
      await client().createBatch(
        Array.from({ length: 20 }, (_, n) => ({ prompt: `slow ${n}`, delayMs: 3_600_000, tags: ['slow'] })),
      );
      const { page } = await open('/jobs?tag=slow');
      const held = gate();
      let asked = 0;
      await page.route('**/v1/jobs/*', async (route) => {
        if (route.request().method() !== 'PATCH') return route.continue();
        asked += 1;
        if (asked > 5) await held.opened;
        return route.continue();
      });
      await page.getByRole('checkbox', { name: 'Select all jobs that match' }).click();
      const bar = page.getByRole('toolbar', { name: 'Selected jobs' });
      await bar.getByRole('button', { name: 'Archive' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Archive jobs' }).click();
      await page.getByText('5 jobs archived …').waitFor();
      expect(await bar.getByRole('button', { name: 'Retry' }).isDisabled()).toBe(true);
      await page.getByRole('button', { name: 'Stop' }).click();
      held.open();
      await page.getByText(/^\d+ jobs archived; then you stopped it$/).waitFor();
      const { data } = await client().list({ tag: ['slow'], archived: true, limit: 100 });
      expect(data.length).toBeLessThan(20);
      await page.getByText(`${data.length} jobs archived; then you stopped it`).waitFor();
    });

    it('a failure on the way is reported with what was done', async () => {
      await waiting('partly', 3);
      const { page } = await open('/jobs?tag=partly', { expected: /500/ });
      let asked = 0;
      await page.route('**/v1/jobs/*', (route) => {
        if (route.request().method() !== 'PATCH') return route.continue();
        asked += 1;
        const body = JSON.stringify({ code: 'server.error', title: 'No', detail: 'the disk is full' });
        const answer = { status: 500, contentType: 'application/problem+json', body };
        return asked === 1 ? route.continue() : route.fulfill(answer);
      });
      await page.getByRole('checkbox', { name: 'Select partly 3' }).click();
      await page.getByRole('checkbox', { name: 'Select partly 1' }).click({ modifiers: ['Shift'] });
      await page.getByRole('toolbar').getByRole('button', { name: 'Archive' }).click();
      await page.getByText('1 job archived; then it stopped: the disk is full').waitFor();
      expect((await client().list({ tag: ['partly'], archived: true })).data.length).toBe(1);
      // The selection is still there, for another try.
      await page.getByRole('toolbar').getByText('3 jobs').waitFor();
    });

    it('is used by keyboard alone', async () => {
      await waiting('keys', 2);
      const { page } = await open('/jobs?tag=keys');
      await link(page, 'keys 2').waitFor();
      await page.keyboard.press('j');
      await page.keyboard.press('x');
      await page.keyboard.press('j');
      await page.keyboard.press('x');
      await page.getByRole('toolbar').getByText('2 jobs').waitFor();
      await page.keyboard.press('Escape');
      await expect.poll(() => page.getByRole('toolbar').count()).toBe(0);
      await page.getByRole('checkbox', { name: 'Select all jobs that match' }).press('Space');
      await page.getByRole('toolbar').getByText('All jobs that match').waitFor();
      await page.keyboard.press('Escape');
      await page.keyboard.press('/');
      await page.keyboard.type('keys');
      await expect.poll(() => new URL(page.url()).searchParams.get('q')).toBe('keys');
      await link(page, 'keys 1').focus();
      await page.keyboard.press('e');
      await rowOf(page, 'keys 1').getByText('archived').waitFor();
      await page.keyboard.press('k');
      await page.keyboard.press('Enter');
      await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/jobs\/01/);
    });

    it('keeps its place while new jobs come, and returns to it', async () => {
      const prompts = Array.from({ length: 150 }, (_, n) => ({
        ...{ prompt: `row ${n} of many`, delayMs: 3_600_000, tags: ['many'] },
      }));
      await client().createBatch(prompts);
      const { page } = await open('/jobs?tag=many');
      await link(page, 'row 149 of many').waitFor();
      await expect
        .poll(async () => {
          await page.mouse.wheel(0, 500);
          return link(page, 'row 40 of many').count();
        })
        .toBe(1);
      await link(page, 'row 40 of many').scrollIntoViewIfNeeded();
      const top = async () => (await link(page, 'row 40 of many').boundingBox())?.y ?? 0;
      const before = await top();
      await client().createBatch(
        [1, 2, 3].map((n) => ({ prompt: `newer ${n}`, delayMs: 3_600_000, tags: ['many'] })),
      );
      await expect
        .poll(() => page.locator('[aria-setsize]').first().getAttribute('aria-setsize'))
        .not.toBe('150');
      await expect.poll(async () => Math.abs((await top()) - before)).toBeLessThan(2);
      await link(page, 'row 40 of many').click();
      await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/jobs\/01/);
      await page.goBack();
      await link(page, 'row 40 of many').waitFor();
    });

    it('groups by batch, with the progress of each', async () => {
      const { id } = await client().createBatch([
        { prompt: 'in a batch' },
        { prompt: fakePrompt([{ exit: 1 }]) },
      ]);
      await eventually(async () => (await client().getBatch(id)).finished);
      const { page } = await open('/jobs');
      await page.getByRole('button', { name: 'Batches' }).click();
      await expect.poll(() => new URL(page.url()).search).toBe('?group=batch');
      await page.getByRole('img', { name: '1 succeeded, 1 failed' }).first().waitFor();
      await page
        .getByRole('link', { name: /^Batch/ })
        .first()
        .click();
      await expect.poll(() => new URL(page.url()).pathname).toBe(`/batches/${id}`);
    });

    it('offers nothing that the caller may not do, and shows hostile texts as text', async () => {
      await run(HOSTILE, { tags: [HOSTILE.slice(0, 20)] });
      const { token } = await client().createKey({ name: 'reader', scopes: ['jobs:read'] });
      const { page } = await open('/jobs', { token });
      await page.getByRole('link', { name: HOSTILE }).waitFor();
      expect(await page.getByRole('checkbox').count()).toBe(0);
      expect(await page.getByRole('link', { name: 'New job' }).count()).toBe(0);
      expect(await page.getByRole('button', { name: /^Actions/ }).count()).toBe(0);
    });

    it('is accessible and fits, in both sizes and themes', async () => {
      await fails('a job to look at', { tags: ['looks', 'a-rather-long-tag-that-needs-room'] });
      const { page, looksRight } = await open('/jobs?tag=looks', { size: PHONE });
      await page.getByRole('checkbox').first().click();
      await page.getByRole('toolbar').waitFor();
      await looksRight();
      await page.getByRole('button', { name: 'Filter', exact: true }).click();
      await looksRight();
      await page.goto('/jobs?group=batch');
      await page
        .getByRole('link', { name: /^Batch/ })
        .first()
        .waitFor();
      await looksRight();
    });
  });
}
