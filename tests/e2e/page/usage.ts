/** The page of the usage. */

import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { openPage, PHONE } from '../../helpers/browser.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { type FakeSystem, PATIENCE } from '../fake-system.ts';

/** A busy machine takes its time. */
const HOSTILE_TAG = '=HYPERLINK("https://evil.example")<b>';

export function pageOfUsage(system: () => FakeSystem, browser: () => Browser): void {
  describe('the page of the usage', () => {
    const open = (options: Partial<Parameters<typeof openPage>[1]> = {}) =>
      openPage(browser(), { url: system().server.url, token: system().server.token, ...options });

    beforeAll(async () => {
      const failing = fakePrompt([{ result: { is_error: true, errors: ['no'] } }]);
      const ids = [
        await system().submit({ prompt: 'one', tags: ['nightly'] }),
        await system().submit({ prompt: 'two', tags: ['nightly', HOSTILE_TAG] }),
        await system().submit({ prompt: failing }),
      ];
      for (const id of ids) await system().server.finished(id);
      await eventually(async () => {
        const report = await system().server.api('GET', '/v1/usage?by=total');
        expect(await report.json()).toMatchObject({ data: [{ executions: 3 }] });
      }, PATIENCE);
    });

    it('shows the totals, and where the costs come from', async () => {
      const { page } = await open();
      await page.goto('/usage');
      const totals = page.getByRole('region', { name: 'Totals' });
      await totals.getByText('as the CLIs reported it').waitFor();
      const facts = (await totals.locator('dl > div').allTextContents()).join(' ');
      expect(facts).toMatch(/Cost\$0\.0\d+ Executions3 Succeeded66\.6 % Tokens in\d+ Tokens out\d+/);
    });

    it('draws charts, says what was at the time that is pointed at, and follows the theme', async () => {
      const { page } = await open();
      await page.goto('/usage?range=24h');
      const chart = page.getByRole('img', { name: /^Chart: Executions, 3, 66\.6 % succeeded/ });
      await chart.locator('canvas').waitFor();
      expect(await page.locator('.chart canvas').count()).toBe(4);
      const box = await chart.boundingBox();
      await page.mouse.move((box?.x ?? 0) + (box?.width ?? 0) - 16, (box?.y ?? 0) + 60);
      await page.getByText(/^\w+ \d+, \d+.(AM|PM): 3, 66\.6 % succeeded$/).waitFor();
      const pixels = 'document.querySelector(".chart canvas").toDataURL()';
      const light = await page.evaluate(pixels);
      await page.emulateMedia({ colorScheme: 'dark' });
      await expect.poll(() => page.evaluate(pixels)).not.toBe(light);
    });

    it('adds up by each key, with links to the jobs', async () => {
      const { page } = await open();
      await page.goto('/usage');
      const tabs = page.getByRole('navigation', { name: 'Breakdown by' });
      for (const [tab, key] of [
        ['Provider', 'claude'],
        ['Model', 'fake-model'],
        ['Project', 'default'],
        ['Caller', 'admin'],
        ['Tag', HOSTILE_TAG],
      ] as const) {
        await tabs.getByRole('link', { name: tab }).click();
        const link = page.getByRole('rowheader', { name: key, exact: true }).getByRole('link');
        await link.waitFor();
        expect(new URL(page.url()).searchParams.get('by')).toBe(tab.toLowerCase());
      }
      await page.getByRole('rowheader', { name: 'nightly' }).getByRole('link').click();
      await page.waitForURL('**/jobs?tag=nightly');
    });

    it('keeps the range in the address bar, and has one of its own', async () => {
      const { page } = await open();
      await page.goto('/usage');
      await page.getByRole('link', { name: '90 days' }).click();
      expect(new URL(page.url()).searchParams.get('range')).toBe('90d');
      await page.getByRole('link', { name: 'Custom' }).click();
      await page.getByLabel('First day').fill('2020-01-01');
      await page.getByLabel('Last day').fill('2020-01-05');
      await page.getByRole('heading', { name: 'Nothing ended in this time' }).waitFor();
      expect(new URL(page.url()).search).toBe('?range=own&from=2020-01-01&to=2020-01-05');
      await page.goBack();
      await page.getByRole('region', { name: 'Totals' }).waitFor();
    });

    it('has the numbers of the charts as a table', async () => {
      const { page } = await open();
      await page.goto('/usage?by=provider');
      await page.getByRole('link', { name: 'Table' }).click();
      const table = page.getByRole('table', { name: 'Usage by day' });
      const today = new Date().toISOString().slice(0, 10);
      await table.getByRole('rowheader', { name: today }).waitFor();
      expect(await page.locator('.chart').count()).toBe(0);
    });

    it('is exported as CSV, in which no cell is a formula, and as JSON', async () => {
      const { page } = await open();
      await page.goto('/usage?by=tag');
      const save = async (name: string): Promise<string> => {
        const coming = page.waitForEvent('download');
        await page.getByRole('button', { name }).click();
        return readFileSync(await (await coming).path(), 'utf8');
      };
      const csv = await save('Export CSV');
      expect(csv.split('\r\n')[0]).toMatch(/^tag,executions,/);
      expect(csv).toContain(`"'=HYPERLINK(""https://evil.example"")<b>",1,`);
      expect(JSON.parse(await save('Export JSON'))).toMatchObject({ by: 'tag', data: expect.any(Array) });
    });

    it('is refused to a caller who may not see it, and not offered', async () => {
      const made = await system().server.api('POST', '/v1/keys', { name: 'reader', scopes: ['jobs:read'] });
      const { token } = (await made.json()) as { token: string }; // the documented answer
      const { page } = await open({ token, expected: /403/ });
      await page.goto('/usage');
      await page.getByRole('alert').getByText('You may not see this').waitFor();
      expect(await page.getByRole('navigation', { name: 'Places' }).getByText('Usage').count()).toBe(0);
    });

    it('is accessible, and fits, in both sizes and themes', async () => {
      const { page, looksRight } = await open({ size: PHONE });
      const [first, last] = [5, 0].map((daysAgo) =>
        new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10),
      );
      for (const query of ['', `?view=table&by=tag&range=own&from=${first}&to=${last}`]) {
        await page.goto(`/usage${query}`);
        await page.getByText('as the CLIs reported it').waitFor();
        await looksRight();
      }
    });
  });
}
