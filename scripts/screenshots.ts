/**
 * `npm run screenshots`: takes the pictures of the README from a scripted day of jobs, into
 * docs/images. It needs Debian's Chromium.
 */
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { type Client, createClient } from '../src/client/client.ts';
import { userFolder } from '../src/config/places.ts';
import { startBenchServer } from './bench/server.ts';
import { launchChromium } from './chromium.ts';
import { ASKING, BATCH, ENDED, RUNNING, type Scene, SHOWN, WAITING } from './screenshots/day.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const IMAGES = join(ROOT, 'docs/images');
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 780 };
const SETTLE_MS = 700;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Writes the CLI of the day as a program. Returns its path. */
function writeCli(folder: string): string {
  const path = join(folder, 'claude');
  const script = join(ROOT, 'scripts/screenshots/day-cli.ts');
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' --no-warnings '${script}' "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

const requestOf = ({ prompt, tags, request }: Scene) => ({ ...request, prompt, tags: [...tags] });

/** Runs the day, up to a moment in the afternoon. Returns the job that is shown from within. */
async function live(client: Client): Promise<string> {
  const end = async (scene: Scene): Promise<string> => {
    const { id } = await client.create(requestOf(scene));
    await client.get(id, { waitMs: 60_000 });
    return id;
  };
  for (const scene of ENDED) await end(scene);
  await client.createBatch(BATCH.map(requestOf));
  const shown = await end(SHOWN);
  for (const scene of ASKING) await client.create(requestOf(scene));
  const deadline = Date.now() + 60_000;
  while ((await client.approvals.list({ status: 'pending' })).data.length < ASKING.length) {
    if (Date.now() > deadline) throw new Error('no job has asked');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for (const scene of [...RUNNING, ...WAITING]) await client.create(requestOf(scene));
  return shown;
}

/** Spreads the ends of the executions over the hours of the day. */
function spread(home: string): void {
  using ledger = new DatabaseSync(join(home, 'ledger.db'));
  const rows = ledger.prepare('SELECT execution_id AS id FROM usage ORDER BY execution_id').all();
  const move = ledger.prepare(
    'UPDATE usage SET ended_at = ?, duration_ms = duration_ms * ? WHERE execution_id = ?',
  );
  rows.forEach(({ id }, index) => {
    const share = index / rows.length;
    const ageMs = (1 - share) ** 1.6 * DAY_MS * 0.98;
    move.run(new Date(Date.now() - ageMs).toISOString(), 20 + 30 * ((index * 7) % 5), id ?? null);
  });
}

async function take(page: Page, path: string, name: string, open?: string): Promise<void> {
  await page.goto(path);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.getByRole('status', { name: 'Loading' }).first().waitFor({ state: 'detached' });
  await page.waitForTimeout(SETTLE_MS); // the chart and the list have no further event
  if (open !== undefined) await page.getByText(open, { exact: true }).first().click();
  await page.screenshot({ path: join(IMAGES, `${name}.png`) });
}

async function main(): Promise<void> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'bullpen-day-')));
  const workspace = join(folder, 'shop');
  for (const path of [workspace, IMAGES]) mkdirSync(path, { recursive: true });
  const env = {
    PATH: [join(ROOT, 'node_modules/.bin'), process.env['PATH']].join(delimiter),
    HOME: folder,
    BULLPEN_CACHE: join(userFolder(process.env, 'XDG_CACHE_HOME', '.cache'), 'bullpen'),
    BULLPEN_CONCURRENCY: '4',
    BULLPEN_WARM_PROCESSES: '0',
  };
  const config = { providers: { claude: { binary: writeCli(folder) } } };
  const bin = join(ROOT, 'src/bin.js');
  await using server = await startBenchServer({ home: join(folder, 'data'), workspace, env, config, bin });
  const browser = await launchChromium();
  try {
    const shown = await live(createClient(server));
    spread(join(folder, 'data'));
    for (const theme of ['light', 'dark'] as const) {
      const context = await browser.newContext({
        ...{ baseURL: server.url, viewport: DESKTOP, colorScheme: theme, locale: 'en-GB' },
        ...{ deviceScaleFactor: 1, reducedMotion: 'reduce' },
      });
      const data = { token: server.token };
      await context.request.post('/login', { data, headers: { origin: server.url } });
      const page = await context.newPage();
      await take(page, '/', `inbox-${theme}`);
      await take(page, '/jobs', `jobs-${theme}`);
      await take(page, `/jobs/${shown}`, `job-${theme}`, 'Edit');
      await take(page, '/usage?range=24h', `usage-${theme}`);
      await page.setViewportSize(PHONE);
      await take(page, '/', `phone-${theme}`);
      await context.close();
    }
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

await main();
