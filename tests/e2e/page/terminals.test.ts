/** Terminals in the page, with a real shell. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { hasChromium } from '../../../scripts/chromium.ts';
import type { KeyCreated } from '../../../src/protocol/key.ts';
import type { Session } from '../../../src/protocol/session.ts';
import { openPage, PHONE, sharedBrowser } from '../../helpers/browser.ts';
import { PATIENCE, sharedFakeSystem } from '../fake-system.ts';

const POLL = { timeout: PATIENCE.timeoutMs };
const WAIT = { timeout: PATIENCE.timeoutMs };

describe.runIf(hasChromium)('a terminal in the page', { timeout: 120_000 }, () => {
  const system = sharedFakeSystem({
    config: {
      terminals: { enabled: true, commands: { bash: { binary: 'bash', args: ['--norc', '--noprofile'] } } },
    },
  });
  const browser = sharedBrowser();
  const open = (options: Partial<Parameters<typeof openPage>[1]> = {}) =>
    openPage(browser(), { url: system().server.url, token: system().server.token, ...options });

  async function terminal(name: string): Promise<string> {
    const made = await system().server.api('POST', '/v1/sessions', {
      kind: 'terminal',
      command: 'bash',
      name,
    });
    expect(made.status, await made.clone().text()).toBe(201);
    const { id } = (await made.json()) as Session; // the documented answer, as below
    return id;
  }
  const session = async (id: string): Promise<Session> =>
    (await (await system().server.api('GET', `/v1/sessions/${id}`)).json()) as Session;
  const pane = (page: Page, name: string) => page.getByRole('region', { name, exact: true });
  const textOf = async (page: Page, name: string): Promise<string> =>
    (await pane(page, name).locator('.xterm-rows').innerText()).replaceAll('\u00a0', ' ');
  const shows = (page: Page, name: string, text: RegExp) =>
    expect.poll(() => textOf(page, name), POLL).toMatch(text);
  /** Types when the terminal takes it. */
  async function type(page: Page, name: string, line: string): Promise<void> {
    const input = pane(page, name).locator('textarea:not([readonly])');
    await input.waitFor({ state: 'attached', ...WAIT });
    await input.focus();
    await page.keyboard.insertText(line);
    await page.keyboard.press('Enter');
  }

  it('takes keys, shows what comes in its colours, and goes on after a reload', async () => {
    const id = await terminal('colours');
    const { page } = await open();
    await page.goto(`/sessions/${id}`);
    await page.waitForURL(`/terminals/${id}`);
    await type(
      page,
      'colours',
      `printf '\\e[38;2;127;0;0mtrue\\e[0m \\e[1;31mred\\e[0m sum=%d\\n' $((20+3))`,
    );
    await shows(page, 'colours', /true red sum=23/);
    const spans = `[...document.querySelectorAll('.xterm-rows span')]`;
    const colour = `getComputedStyle(${spans}.findLast((span) => span.textContent === 'true')).color`;
    expect(await page.evaluate(colour)).toBe('rgb(127, 0, 0)');
    await page.reload();
    await shows(page, 'colours', /true red sum=23/);
    await type(page, 'colours', 'echo again=$((40+4))');
    await shows(page, 'colours', /again=44/);
  });

  it('has the size of the window in which one types; other readers follow', async () => {
    const id = await terminal('sized');
    const [one, two] = [await open(), await open({ size: { width: 900, height: 600 } })];
    await one.page.goto(`/terminals/${id}`);
    await type(one.page, 'sized', 'echo ready=$((1+1))');
    await shows(one.page, 'sized', /ready=2/);
    await expect.poll(async () => (await session(id)).terminal?.cols, POLL).toBeGreaterThan(100);
    const wide = (await session(id)).terminal;
    await two.page.goto(`/terminals/${id}`);
    await type(two.page, 'sized', 'stty size | tr " " x');
    await expect.poll(async () => (await session(id)).terminal?.cols, POLL).toBeLessThan(90);
    const small = (await session(id)).terminal;
    await shows(two.page, 'sized', /ready=2/);
    await type(two.page, 'sized', 'stty size | tr " " x');
    const size = new RegExp(`${small?.rows}x${small?.cols}`);
    await shows(two.page, 'sized', size);
    await shows(one.page, 'sized', size);
    // A window of which nothing is typed into changes no size.
    await two.page.evaluate('document.activeElement.blur()');
    await two.page.setViewportSize({ width: 700, height: 500 });
    await type(one.page, 'sized', 'echo back=$((3+4))');
    await shows(two.page, 'sized', /back=7/);
    await one.page.evaluate('document.activeElement.blur()');
    await pane(one.page, 'sized').locator('textarea').focus();
    await expect.poll(async () => (await session(id)).terminal, POLL).toEqual(wide);
    await one.page.setViewportSize({ width: 1000, height: 700 });
    await expect.poll(async () => (await session(id)).terminal?.cols, POLL).toBeLessThan(wide?.cols ?? 0);
  });

  it('is left by Ctrl+], and everything else is for the program', async () => {
    const id = await terminal('keys');
    const { page } = await open();
    await page.goto(`/terminals/${id}`);
    await type(page, 'keys', 'echo ready=$((1+1)); cat -v');
    await shows(page, 'keys', /ready=2/);
    for (const key of ['?', 'g', 's', 'Escape', 'Tab']) await page.keyboard.press(key);
    await page.keyboard.press('Enter');
    await shows(page, 'keys', /\?gs\^\[\s*/);
    expect(new URL(page.url()).pathname).toBe(`/terminals/${id}`);
    await page.keyboard.press('Control+c');
    await page.keyboard.press('Control+]');
    const focused = (): Promise<unknown> =>
      page.evaluate(`document.activeElement.getAttribute('aria-label')`);
    await expect.poll(focused).toBe('keys');
    await page.keyboard.press('Enter');
    await page.keyboard.insertText('echo inside=$((5+5))');
    await page.keyboard.press('Enter');
    await shows(page, 'keys', /inside=10/);
    await page.keyboard.press('Control+]');
    await page.keyboard.press('g');
    await page.keyboard.press('s');
    await page.getByRole('heading', { level: 1, name: 'Sessions' }).waitFor();
  });

  it('several are tabs or side by side, as the address says', async () => {
    const [a, b] = [await terminal('left'), await terminal('right')];
    const { page } = await open();
    await page.goto(`/terminals/${a}`);
    await pane(page, 'left').waitFor();
    await page.getByRole('button', { name: 'Add' }).click();
    await page.getByRole('dialog').getByRole('link', { name: /right/ }).click();
    await page.waitForURL(`/terminals/${a},${b}?at=${b}`);
    await pane(page, 'right').waitFor();
    expect(await pane(page, 'left').count()).toBe(0);
    await page.getByRole('link', { name: 'Side by side' }).click();
    await pane(page, 'left').waitFor();
    expect(new URL(page.url()).searchParams.get('view')).toBe('side');
    await type(page, 'left', 'echo left=$((1+1))');
    await type(page, 'right', 'echo right=$((2+2))');
    await shows(page, 'left', /left=2/);
    await shows(page, 'right', /right=4/);
    await page.reload();
    await shows(page, 'left', /left=2/);
    await shows(page, 'right', /right=4/);
    await page.getByRole('button', { name: 'Take left off the screen' }).click();
    await expect.poll(() => pane(page, 'left').count()).toBe(0);
    expect(new URL(page.url()).pathname).toBe(`/terminals/${b}`);
  });

  it('hostile bytes do nothing', async () => {
    const id = await terminal('hostile');
    const { page, context } = await open();
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.goto(`/terminals/${id}`);
    const other = await open();
    await other.page.goto(`/terminals/${id}`);
    await pane(other.page, 'hostile').waitFor();
    await page.evaluate('navigator.clipboard.writeText("mine")');
    // Queries are answered once, by the server, however many pages look. Its answer may be faster
    // than bash turns off the echo for `read`. Answers come in order, so the last one shows which
    // of the others there are; a second one to it would come soon after.
    await type(
      page,
      'hostile',
      String.raw`ask() { stty -echo; printf "$1"; IFS= read -rs -d c x; IFS= read -rs -t 2 -d '' y; stty echo; printf '<%q>\n' "$x"c "$y"; }; clear`,
    );
    await type(page, 'hostile', String.raw`ask '\eP$qm\e\\\e]11;?\a\e[18t\e[c'; echo asked=$((1+1))`);
    await shows(page, 'hostile', /asked=2/);
    const text = await textOf(page, 'hostile');
    expect(text.match(/\?1;2c/g)).toHaveLength(1);
    expect(text.match(/P1\\\$r0m|P1\$r0m/g)).toHaveLength(1);
    expect(text).not.toMatch(/rgb:|\[8;\d+/);

    await type(
      page,
      'hostile',
      String.raw`clear; printf '\e]0;<b>evil</b>\u202e<img src=x>\a\e]52;c;ZXZpbA==\a'`,
    );
    await pane(page, 'hostile').getByText('<b>evil</b>⟨U+202E⟩<img src=x>').waitFor(WAIT);
    await type(
      page,
      'hostile',
      String.raw`printf '\e]8;;javascript:alert(1)\e\\bad link\e]8;;\e\\ \e]8;;${system().server.url}/jobs\e\\good link\e]8;;\e\\\n'; echo linked=$((1+1))`,
    );
    await shows(page, 'hostile', /linked=2/);
    await shows(page, 'hostile', /^bad link good link/m);
    const line = pane(page, 'hostile').locator('.xterm-rows > div', { hasText: /^bad.link.good.link/ });
    const box = (await line.boundingBox()) ?? expect.unreachable('the line is not shown');
    const cell = box.width / ((await session(id)).terminal?.cols ?? 80);
    const y = box.y + box.height / 2;
    let opened = 0;
    context.on('page', () => {
      opened += 1;
    });
    await page.keyboard.down('Control');
    await page.mouse.move(box.x + 3 * cell, y);
    await page.mouse.click(box.x + 3 * cell, y);
    await page.keyboard.up('Control');
    await page.mouse.move(box.x + 12 * cell, y);
    await pane(page, 'hostile').getByRole('status').getByText(`${system().server.url}/jobs`).waitFor(WAIT);
    await page.mouse.click(box.x + 12 * cell, y);
    expect(opened).toBe(0);
    const next = context.waitForEvent('page');
    await page.keyboard.down('Control');
    await page.mouse.click(box.x + 12 * cell, y);
    await page.keyboard.up('Control');
    const link = await next;
    await link.waitForURL('**/jobs');
    expect(await link.evaluate('window.opener')).toBeNull();
    expect(opened).toBe(1);
    await link.close();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe('mine');

    await type(page, 'hostile', `clear; head -c 600000 /dev/zero | tr '\\0' x; echo; echo long=$((1+1))`);
    await shows(page, 'hostile', /long=2/);
    await shows(other.page, 'hostile', /long=2/);
  });

  it('pastes as one piece, and copies what is selected', async () => {
    const id = await terminal('clipboard');
    const { page, context } = await open();
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.goto(`/terminals/${id}`);
    await type(page, 'clipboard', String.raw`printf '\e[?2004h'; echo reads=$((1+1)); cat -v`);
    await shows(page, 'clipboard', /reads=2/);
    await page.evaluate('navigator.clipboard.writeText("rm -rf here\\nand there")');
    await page.keyboard.press('Control+Shift+V');
    await page.keyboard.press('Enter');
    await shows(page, 'clipboard', /\^\[\[200~rm -rf here/);
    await shows(page, 'clipboard', /and there\^\[\[201~/);
    const row = pane(page, 'clipboard').locator('.xterm-rows > div', { hasText: /and.there\^\[\[201~/ });
    const box = (await row.last().boundingBox()) ?? expect.unreachable('the line is not shown');
    await page.mouse.dblclick(box.x + 5, box.y + box.height / 2);
    await page.keyboard.press('Control+c');
    await expect.poll(() => page.evaluate('navigator.clipboard.readText()'), POLL).toBe('and');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Control+d');
    await type(page, 'clipboard', 'echo alive=$((1+1))');
    await shows(page, 'clipboard', /alive=2/);
  });

  it('has its lines as text for screen readers, and the keys that a phone lacks', async () => {
    const id = await terminal('spoken');
    const { page, looksRight } = await open({ size: PHONE });
    await page.goto(`/terminals/${id}`);
    await page.getByRole('button', { name: 'Screen reader: off' }).click();
    await pane(page, 'spoken').locator('textarea:not([readonly])').focus(WAIT);
    await page.keyboard.type('echo reads=$((1+1)); cat -v\n');
    await shows(page, 'spoken', /reads=2/);
    await page.getByRole('button', { name: 'Up', exact: true }).click();
    await page.getByRole('button', { name: 'Esc', exact: true }).click();
    await page.keyboard.press('Enter');
    await pane(page, 'spoken').getByRole('listitem').filter({ hasText: '^[[A^[' }).first().waitFor(WAIT);
    await page.getByRole('button', { name: 'Control C' }).click();
    await page.keyboard.type('echo stopped=$((1+1))\n');
    await shows(page, 'spoken', /stopped=2/);
    await looksRight();
  });

  it('a key without the scope looks, and is not offered to type', async () => {
    const id = await terminal('looked at');
    const scopes = ['sessions:read'];
    const made = await system().server.api('POST', '/v1/keys', { name: 'reader', scopes });
    const { token } = (await made.json()) as KeyCreated;
    const { page, looksRight } = await open({ token });
    await page.goto(`/terminals/${id}`);
    await shows(page, 'looked at', /\$|#/);
    await page.getByText('You may look at this terminal, and not type.').waitFor();
    await pane(page, 'looked at').locator('.xterm-screen').click();
    await page.keyboard.type('echo no');
    for (const name of ['Interrupt', 'Close', 'Esc'])
      expect(await page.getByRole('button', { name, exact: true }).count()).toBe(0);
    await looksRight();
    await page.goto('/terminals');
    await page.getByRole('link', { name: /looked at/ }).waitFor();
    expect(await page.getByRole('button', { name: 'New terminal' }).count()).toBe(0);
    expect(await textOf(await at(page, id), 'looked at')).not.toMatch(/echo no/);
  });
  async function at(page: Page, id: string): Promise<Page> {
    await page.goto(`/terminals/${id}`);
    await shows(page, 'looked at', /\$|#/);
    return page;
  }

  it('a new one is opened by its command, interrupted, closed, and says how it has ended', async () => {
    const { page } = await open({ expected: /400|404/ });
    await page.goto('/terminals');
    await page.getByRole('button', { name: 'New terminal' }).click();
    const dialog = page.getByRole('dialog', { name: 'New terminal' });
    await dialog.getByRole('textbox', { name: 'Command' }).fill('zsh');
    await dialog.getByRole('button', { name: 'Open' }).click();
    await dialog.getByRole('alert').waitFor();
    await dialog.getByRole('textbox', { name: 'Command' }).fill('bash');
    await dialog.getByLabel('Name').fill('made here');
    await dialog.getByLabel('Name').press('Enter');
    await pane(page, 'made here').waitFor();
    await type(page, 'made here', 'echo begun=$((1+1)); sleep 1000');
    await shows(page, 'made here', /begun=2/);
    await page.getByRole('button', { name: 'Interrupt' }).click();
    await type(page, 'made here', 'exit 3');
    await page.getByText(/Failed with exit code 3/).waitFor(WAIT);
    await page.getByText('The program has ended.').waitFor();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete it' }).click();
    await page.getByText('made here is deleted').waitFor();

    const id = await terminal('closed here');
    await page.goto(`/terminals/${id}`);
    await pane(page, 'closed here').getByRole('button', { name: 'Close' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close it' }).click();
    await expect.poll(async () => (await session(id)).status, POLL).toBe('closed');
    await pane(page, 'closed here').getByText('closed', { exact: true }).waitFor(WAIT);
  });

  it('its recording plays, is sought by keys and commands, and is downloaded', async () => {
    const id = await terminal('recorded');
    const { page, looksRight } = await open();
    await page.goto(`/terminals/${id}`);
    await type(page, 'recorded', 'echo first=$((1+1))');
    await shows(page, 'recorded', /first=2/);
    await type(page, 'recorded', 'sleep 1; echo second=$((2+2))');
    await shows(page, 'recorded', /second=4/);
    await type(page, 'recorded', 'exit');
    await page.getByRole('link', { name: 'Play the recording' }).click();
    await page.getByRole('heading', { name: 'Recording of recorded' }).waitFor();
    const rows = (): Promise<string> => page.locator('.xterm-rows').innerText();
    await expect.poll(rows, POLL).toMatch(/second=4/);
    await page.getByRole('button', { name: '4×' }).click();
    await page.getByRole('button', { name: 'Play' }).waitFor(WAIT);
    const bar = page.getByRole('slider', { name: 'Place in the recording' });
    await bar.focus();
    await page.keyboard.press('Home');
    await expect.poll(rows, POLL).not.toMatch(/first=2/);
    expect(await bar.getAttribute('aria-valuetext')).toMatch(/^0:00 of 0:\d\d$/);
    await page.keyboard.press('End');
    await expect.poll(rows, POLL).toMatch(/second=4/);
    await page.getByRole('button', { name: /echo first/ }).click();
    await expect.poll(rows, POLL).not.toMatch(/second=4/);
    await looksRight();
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download' }).click();
    expect((await download).suggestedFilename()).toBe(`${id}.cast`);
  });

  it('is accessible and fits, in both sizes and themes', async () => {
    const [a, b] = [await terminal('fit one'), await terminal('fit two')];
    const { page, looksRight } = await open({ size: PHONE });
    for (const path of [`/terminals/${a}`, `/terminals/${a},${b}?view=side`, '/terminals']) {
      await page.goto(path);
      if (path === '/terminals')
        await page
          .getByRole('link', { name: /fit one/ })
          .first()
          .waitFor();
      else await shows(page, 'fit one', /\$|#/);
      await looksRight();
    }
    for (const id of [a, b]) await system().server.api('POST', `/v1/sessions/${id}/close`);
  });

  it('says that the server is away, and after its restart how the terminal has ended', async () => {
    const id = await terminal('lost');
    const { page } = await open({ expected: /ERR_CONNECTION|WebSocket|50[023]|409/ });
    await page.goto(`/terminals/${id}`);
    await type(page, 'lost', 'echo before=$((1+1))');
    await shows(page, 'lost', /before=2/);
    const { port } = new URL(system().server.url);
    await system().server.stop();
    await page.getByText('The terminal goes on when it is back.').waitFor(WAIT);
    await page.getByText('Nothing can be typed until the server is back.').waitFor();
    await shows(page, 'lost', /before=2/);
    await system().restart({ BULLPEN_PORT: port });
    await page.getByText(/Failed.*execution\.lost/).waitFor(WAIT);
    await page.getByText('The program has ended.').waitFor();
    await shows(page, 'lost', /before=2/);
  });
});
