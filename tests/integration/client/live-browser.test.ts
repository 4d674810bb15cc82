/** `createLive` in a real browser, from the files as they are, only without their types. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { hasChromium, launchChromium } from '../../../scripts/chromium.ts';
import { startTerminalServer } from '../../fakes/terminal-server.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** As text, because the page imports the module, and not this process. */
const IN_PAGE = `(async () => {
  const { createLive } = await import('/src/client/live.ts');
  const opened = await fetch('/v1/sessions', { method: 'POST', body: '{"kind":"terminal"}' });
  const { id } = await opened.json();
  const live = createLive({
    url: location.origin,
    auth: () => ({ token: 't' }),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    resumeDelaysMs: [10],
    silenceMs: 60000,
    patienceMs: 60000,
    onStatus: () => {},
    openSocket: (address) => new WebSocket(address),
  });
  await live.input(id, 'echo from the $((40 + 2))nd page\\r');
  let seen = '';
  for await (const { data } of live.session(id)) {
    seen += atob(data ?? '');
    if (seen.includes('from the 42nd page')) break;
  }
  live.close();
  return seen;
})()`;

it.runIf(hasChromium)('a page types into a terminal and sees what it shows', async () => {
  const server = await startTerminalServer();
  onTestFinished(() => server.stop());
  const browser = await launchChromium();
  onTestFinished(() => browser.close());
  const page = await browser.newPage();
  await page.route('**/src/**', (route) => {
    const { pathname } = new URL(route.request().url());
    const body = stripTypeScriptTypes(readFileSync(join(ROOT, pathname), 'utf8'));
    return route.fulfill({ contentType: 'text/javascript', body });
  });
  await page.goto(`${server.url}/ready`);
  expect(await page.evaluate(IN_PAGE)).toContain('from the 42nd page');
});
