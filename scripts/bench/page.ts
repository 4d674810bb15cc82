/**
 * The page in Debian's Chromium: ready with 100,000 jobs, an event on ten screens, and what an open
 * page costs the server.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { createClient } from '../../src/client/client.ts';
import { launchChromium } from '../chromium.ts';
import { createBenchClient } from './client.ts';
import { shareMb } from './proc.ts';
import type { Row, Section } from './results.ts';
import { writeScriptedCli } from './scripted-cli.ts';
import type { BenchServer } from './server.ts';
import { repeat, type Setting } from './setting.ts';
import { median, quantile } from './statistics.ts';

const BUILT = fileURLToPath(new URL('../../dist/page/assets', import.meta.url));
const PER_CALL = 1000;
const OPENINGS = 9;
const PAGES = 10;
/** Pages beside which the memory of the server is looked at. */
const MANY_PAGES = 30;
const EVENTS_A_SECOND = 200;
const SETTLE_MS = 5000;

export async function measurePage(setting: Setting): Promise<Section> {
  const { quick, workspace } = setting;
  const binary = writeScriptedCli(workspace);
  await using server = await setting.server({
    config: { providers: { claude: { binary }, custom: { cat: { binary: 'cat' } } } },
    env: { BULLPEN_WARM_PROCESSES: '0', BULLPEN_CONCURRENCY: '4' },
  });
  const browser = await launchChromium();
  try {
    const rows = [
      row('scripts, gzipped, without xterm', scriptsKb(), 'kB'),
      ...(await measureScreens(server, browser, quick, 1)),
      ...(await measureScreens(server, browser, quick, PAGES)),
      ...(await measureMemory(server, browser)),
      ...(await measureReady(server, browser, quick)),
    ];
    return {
      title: `The page: ${PAGES} open beside a job of ${EVENTS_A_SECOND} events a second; ${quick ? '10,000' : '100,000'} jobs`,
      lines: [],
      rows,
      notes: ['The browser runs on the same cores.'],
    };
  } finally {
    await browser.close();
  }
}

const row = (name: string, value: number, unit: string): Row => ({ name, value, unit });

/** All scripts of the page but xterm.js, which only the document of the terminals loads. */
function scriptsKb(): number {
  const scripts = readdirSync(BUILT)
    .filter((name) => name.endsWith('.js'))
    .map((name) => readFileSync(join(BUILT, name)))
    .filter((script) => !script.includes('xterm-screen'));
  return scripts.reduce((sum, script) => sum + gzipSync(script, { level: 9 }).length, 0) / 1000;
}

async function logIn(browser: Browser, { url, token }: BenchServer): Promise<BrowserContext> {
  const context = await browser.newContext({ baseURL: url, viewport: { width: 1280, height: 800 } });
  const answer = await context.request.post('/login', { data: { token }, headers: { origin: url } });
  if (answer.status() !== 204) throw new Error(`the login was answered with ${answer.status()}`);
  return context;
}

/**
 * Notes, in the page, how old each event is in the frame that shows it. An event is the time (s) at
 * which the CLI has written it.
 */
const WATCH = `(() => {
  window.ages = [];
  let last = 0;
  const look = () => {
    const rows = document.querySelectorAll('#screen [data-index]');
    const text = (rows[rows.length - 1]?.textContent ?? '').slice(-2000);
    const now = Date.now() / 1000;
    for (const [time] of text.matchAll(/\\d{10}\\.\\d{6}/g)) {
      if (Number(time) <= last) continue;
      last = Number(time);
      window.ages.push((now - last) * 1000);
    }
  };
  let asked = false;
  new MutationObserver(() => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; look(); });
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
})()`;

async function measureScreens(
  server: BenchServer,
  browser: Browser,
  quick: boolean,
  count: number,
): Promise<Row[]> {
  const client = createClient(server);
  const watchMs = quick ? 2000 : 20_000;
  const seconds = (watchMs + 2 * SETTLE_MS) / 1000 + 30;
  const prompt = `say ${seconds * EVENTS_A_SECOND} every ${1 / EVENTS_A_SECOND}`;
  const { id } = await client.create({ prompt });
  const pages: Page[] = [];
  for (let index = 0; index < count; index += 1) {
    // In a window of its own: the browser slows tabs down that are behind others.
    const page = await (await logIn(browser, server)).newPage();
    await page.goto(`/jobs/${id}`);
    await page
      .getByText(/\d{10}\.\d{6}/)
      .first()
      .waitFor();
    await page.evaluate(WATCH);
    pages.push(page);
  }
  await delay(SETTLE_MS);
  for (const page of pages) await page.evaluate('window.ages.length = 0');
  await delay(watchMs);
  const ages: number[] = [];
  for (const page of pages) ages.push(...((await page.evaluate('window.ages')) as number[])); // of WATCH
  await client.cancel(id, { force: true });
  for (const page of pages) await page.context().close();
  return [
    row(`${count} open: events shown a second, on each`, ages.length / count / (watchMs / 1000), ''),
    row('the CLI writes it → it is on the screen, p50', quantile(ages, 0.5), 'ms'),
    row('p95', quantile(ages, 0.95), 'ms'),
  ];
}

async function measureMemory(server: BenchServer, browser: Browser): Promise<Row[]> {
  const context = await logIn(browser, server);
  const warm = await context.newPage();
  await warm.goto('/jobs');
  await delay(SETTLE_MS);
  const before = await leastShareMb(server.pid);
  for (let index = 0; index < MANY_PAGES; index += 1) {
    const page = await context.newPage();
    await page.goto('/jobs');
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
  await delay(SETTLE_MS);
  const after = await leastShareMb(server.pid);
  await context.close();
  return [row('memory of the main process per open page', (after - before) / MANY_PAGES, 'MB')];
}

/** The least of some seconds, because garbage comes and goes. */
async function leastShareMb(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 50; look += 1) {
    least = Math.min(least, shareMb(pid));
    await delay(100);
  }
  return least;
}

async function measureReady(server: BenchServer, browser: Browser, quick: boolean): Promise<Row[]> {
  using client = createBenchClient(server);
  const typed = createClient(server);
  await typed.pauseQueue({ provider: 'cat' });
  await repeat(quick ? 10 : 100, 1, async (call) => {
    const prompts = Array.from({ length: PER_CALL }, (_, index) => ({
      ...{ prompt: `prompt ${index} of call ${call}`, provider: 'cat' },
    }));
    await client.createBatch(prompts);
  });
  await delay(SETTLE_MS);
  const context = await logIn(browser, server);
  const rows: Row[] = [];
  for (const [name, path, shown] of [
    ['the list of jobs', '/jobs', '#screen [data-index]'],
    ['the inbox', '/', '#screen h2'],
  ] as const) {
    const tookMs: number[] = [];
    for (let opening = 0; opening < OPENINGS; opening += 1) {
      const page = await context.newPage();
      const startedAt = performance.now();
      await page.goto(path, { waitUntil: 'commit' });
      await page.locator(shown).first().waitFor();
      tookMs.push(performance.now() - startedAt);
      await page.close();
    }
    rows.push(row(`address entered → ${name} is shown, median`, median(tookMs), 'ms'));
    rows.push(row('slowest', Math.max(...tookMs), 'ms'));
  }
  await context.close();
  return rows;
}
