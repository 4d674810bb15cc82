/** The inbox: what waits for a person, and what a person does about it. */
import { afterEach, describe, expect, it } from 'vitest';
import { hasChromium } from '../../../scripts/chromium.ts';
import { createClient } from '../../../src/client/client.ts';
import type { Scope } from '../../../src/protocol/key.ts';
import type { Step } from '../../fakes/fake-cli-steps.ts';
import { DESKTOP, openPage, PHONE, sharedBrowser } from '../../helpers/browser.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { sharedFakeSystem } from '../fake-system.ts';

const HOSTILE = '<img src=x onerror=alert(1)> \u202egnp.exe \x1b[31mred';

describe.runIf(hasChromium)('the inbox', () => {
  const system = sharedFakeSystem({ env: { BULLPEN_APPROVAL_UNATTENDED_MS: '60000' } });
  const browser = sharedBrowser();
  const client = () => createClient({ url: system().server.url, token: system().server.token });
  const open = async (options: Partial<Parameters<typeof openPage>[1]> = {}) => {
    const opened = await openPage(browser(), {
      ...{ url: system().server.url, token: system().server.token },
      ...options,
    });
    await opened.page.goto('/');
    await opened.page.getByRole('heading', { name: 'Inbox' }).waitFor();
    return opened;
  };
  const asks = (text: string, name: string, input: object, after: readonly Step[] = []): Promise<string> =>
    system().submit({
      prompt: fakePrompt([{ tool: { name, input, asks: true } }, ...after], text),
      onPermissionDenied: 'ask',
    });
  const fails = async (text: string): Promise<string> => {
    const id = await system().submit({ prompt: fakePrompt([{ exit: 3 }], text) });
    await system().server.finished(id);
    return id;
  };
  const tokenFor = async (scopes: readonly Scope[]): Promise<string> => {
    const { token } = await client().createKey({ name: 'narrow', scopes: [...scopes] });
    return token ?? expect.unreachable('the key has no token');
  };

  afterEach(async () => {
    await client().cancelMany({ filter: {}, all: true }, { force: true });
    await eventually(async () => {
      const { data } = await client().list({ status: ['queued', 'running', 'waiting', 'scheduled'] });
      return data.length === 0;
    });
    const { data } = await client().list({ status: ['failed'], archived: false, limit: 100 });
    for (const { id } of data) await client().change(id, { archived: true });
  });

  it('shows a call within a second, and allows it; the count is in the navigation', async () => {
    const { page } = await open();
    await page.getByText('Nothing waits for you').waitFor();
    const id = await asks('push', 'Bash', { command: 'git push origin main', description: 'publishes' });
    const card = page.getByRole('article', { name: 'Bash wants to run' });
    await card.getByText('git push origin main', { exact: true }).waitFor();
    await card.getByText('publishes', { exact: true }).waitFor();
    await page.getByRole('link', { name: /Inbox 1 waiting for you/ }).waitFor();
    await expect.poll(() => page.title()).toBe('(1) Bullpen');
    await card.getByRole('button', { name: 'Allow', exact: true }).click();
    await page.getByText('Nothing waits for you').waitFor();
    expect((await system().server.finished(id)).status).toBe('succeeded');
    expect(system().calls()).toContainEqual({ command: 'git push origin main', description: 'publishes' });
  });

  it('is answered once by a key that is held', async () => {
    const { page } = await open();
    await asks('one', 'Bash', { command: 'make one' });
    await asks('two', 'Bash', { command: 'make two' });
    const cards = page.getByRole('article', { name: 'Bash wants to run' });
    await expect.poll(() => cards.count()).toBe(2);
    let decisions = 0;
    page.on('request', (request) => {
      if (request.method() === 'POST') decisions += 1;
    });
    await page.keyboard.press('j');
    await page.locator('.approval-card.current').waitFor();
    await page.keyboard.down('a');
    await expect.poll(() => cards.count()).toBe(1);
    await page.locator('.approval-card.current').waitFor();
    for (let i = 0; i < 3; i++) await page.keyboard.down('a'); // as a held key does
    await page.keyboard.up('a');
    expect(decisions).toBe(1);
    await page.keyboard.press('a');
    await page.getByText('Nothing waits for you').waitFor();
  });

  it('denies with words that the agent reads', async () => {
    const { page } = await open();
    const id = await asks('remove', 'Bash', { command: 'rm -r build' });
    const card = page.getByRole('article', { name: 'Bash wants to run' });
    await card.getByRole('button', { name: /^Deny/ }).click();
    await card.getByLabel('What the agent reads').fill('Not on a Friday');
    await card.getByRole('button', { name: 'Deny' }).click();
    await page.getByText('Nothing waits for you').waitFor();
    await system().server.finished(id);
    const events = await (await system().server.api('GET', `/v1/jobs/${id}/events?raw=true`)).text();
    expect(events).toContain('Not on a Friday');
  });

  it('allows such calls for the rest of the session, with a rule', async () => {
    const { page } = await open();
    const again = { tool: { name: 'Bash', input: { command: 'npm test -- b' }, asks: true } } as const;
    const id = await asks('test', 'Bash', { command: 'npm test -- a' }, [again]);
    const card = page.getByRole('article', { name: 'Bash wants to run' });
    await card.getByRole('button', { name: 'Allow in session …' }).click();
    const rule = card.getByLabel('Allow such calls until the session ends');
    expect(await rule.inputValue()).toBe('Bash(npm test *)');
    await rule.fill('Bash(npm *)');
    await card.getByRole('button', { name: 'Allow in this session' }).click();
    expect((await system().server.finished(id)).status).toBe('succeeded');
    const { data } = await client().approvals.list({ jobId: id });
    expect(data.map(({ status }) => status)).toContain('allowed');
  });

  it('runs another command than was asked for, after an edit', async () => {
    const { page } = await open();
    const id = await asks('deploy', 'Bash', { command: 'deploy --all' });
    const card = page.getByRole('article', { name: 'Bash wants to run' });
    await card.getByRole('button', { name: 'Edit …' }).click();
    await card.getByLabel('What runs instead').fill('deploy --one');
    await card.getByRole('button', { name: 'Allow this' }).click();
    await system().server.finished(id);
    expect(system().calls()).toContainEqual({ command: 'deploy --one' });
  });

  it('shows an edit as a difference, and a plan as text', async () => {
    const { page } = await open();
    await asks('edit', 'Edit', { file_path: '/srv/a.ts', old_string: 'one', new_string: 'two' });
    const edit = page.getByRole('article', { name: 'Edit wants to change a file' });
    await edit.getByText('/srv/a.ts', { exact: true }).waitFor();
    await edit.getByText('removed: one').waitFor();
    await edit.getByText('added: two').waitFor();
    await edit.getByRole('button', { name: 'Allow', exact: true }).click();
    await asks('plan', 'ExitPlanMode', { plan: '## Steps\n\n1. Read the code' });
    const plan = page.getByRole('article', { name: 'A plan to approve' });
    await plan.getByRole('heading', { name: 'Steps' }).waitFor();
    await plan.getByRole('button', { name: 'Allow', exact: true }).click();
    await page.getByText('Nothing waits for you').waitFor();
  });

  it('answers questions with options and with other words', async () => {
    const { page } = await open();
    const questions = [
      {
        ...{ question: 'Which database?', header: 'Cache', multiSelect: false },
        options: [{ label: 'SQLite', description: 'one file' }, { label: 'Redis' }],
      },
      { question: 'Which parts?', header: 'Parts', multiSelect: true, options: [{ label: 'Prices' }] },
    ];
    const id = await asks('ask', 'AskUserQuestion', { questions });
    const card = page.getByRole('article', { name: '2 questions' });
    const answer = card.getByRole('button', { name: 'Answer', exact: true });
    await answer.waitFor();
    expect(await answer.isDisabled()).toBe(true);
    await card.getByLabel('SQLite').check();
    await card.getByLabel('Prices').check();
    await card.getByLabel('Other words for: Which parts?').fill('Stock');
    await answer.click();
    await system().server.finished(id);
    await expect
      .poll(() => system().calls().at(-1))
      .toMatchObject({
        answers: { 'Which database?': 'SQLite', 'Which parts?': 'Prices, Stock' },
      });
  });

  it('an edit of many lines scrolls in its card, and makes the page no longer than it is', async () => {
    const { page } = await open();
    const lines = (word: string): string =>
      Array.from({ length: 200 }, (_, line) => `${word} ${line}`).join('\n');
    const input = { file_path: '/srv/long.ts', old_string: lines('old'), new_string: lines('new') };
    const id = await asks('rewrite', 'Edit', input);
    const card = page.getByRole('article', { name: 'Edit wants to change a file' });
    for (const path of ['/', `/jobs/${id}`]) {
      await page.goto(path);
      await card.getByText('old 199').waitFor();
      const excess = await page.evaluate(
        'document.documentElement.scrollHeight - document.querySelector(".shell").offsetHeight',
      );
      expect(excess, path).toBe(0);
      // The answer is in sight.
      await expect
        .poll(async () => {
          const box = await card.getByRole('button', { name: 'Allow', exact: true }).boundingBox();
          return box !== null && box.y > 0 && box.y + box.height < DESKTOP.height;
        })
        .toBe(true);
    }
  });

  it('what is decided elsewhere leaves by itself', async () => {
    const { page } = await open();
    const id = await asks('elsewhere', 'Bash', { command: 'true' });
    await page.getByRole('article', { name: 'Bash wants to run' }).waitFor();
    const { data } = await client().approvals.list({ jobId: id });
    await client().approvals.decide(data[0]?.id ?? '', { decision: 'allow' });
    await page.getByText('Nothing waits for you').waitFor();
  });

  it('failures are retried, continued and archived, and are gone then', async () => {
    const { page } = await open();
    const [one, two, three] = [await fails('first'), await fails('second'), await fails('third')];
    const row = (text: string) => page.getByRole('article', { name: `Failed: ${text}` });
    await row('first').getByText('CLI crashed').waitFor();
    await row('first').getByRole('button', { name: 'Retry first' }).click();
    await row('second').getByRole('button', { name: 'Continue second' }).click();
    await row('third').getByRole('button', { name: 'Archive third' }).click();
    await eventually(async () => {
      const jobs = await Promise.all([one, two, three].map((id) => system().server.job(id)));
      expect(jobs.map(({ archived }) => archived)).toEqual([true, true, true]);
    });
    // The retries fail, too: they are new failures.
    await expect.poll(() => page.getByRole('article').count()).toBe(2);
    await page.getByRole('button', { name: 'Archive all …' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Archive all' }).click();
    await page.getByText('Nothing waits for you').waitFor();
    await page.getByText('2 jobs archived').waitFor();
  });

  it('is used by keyboard alone', async () => {
    const { page } = await open();
    await asks('keys', 'Bash', { command: 'echo keys' });
    const failed = await fails('with keys');
    await page.getByRole('article', { name: 'Failed: with keys' }).waitFor();
    await page.getByRole('article', { name: 'Bash wants to run' }).waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('d');
    await page.keyboard.type('no');
    await page.keyboard.press('Control+Enter');
    await page.getByText('Denied').waitFor();
    await page.keyboard.press('e');
    await page.getByText('Nothing waits for you').waitFor();
    expect((await system().server.job(failed)).archived).toBe(true);
    await asks('keys again', 'Bash', { command: 'echo again' });
    await page.getByRole('article', { name: 'Bash wants to run' }).waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('a');
    await page.getByText('Nothing waits for you').waitFor();
  });

  it('shows a login that jobs cannot use, and admins open it', async () => {
    const { page } = await open();
    await client().pauseQueue({ provider: 'claude' });
    await page.getByRole('region', { name: 'Logins' }).getByText('is paused').waitFor();
    await client().resumeQueue({ provider: 'claude' });
    await page.getByText('Nothing waits for you').waitFor();
    const limit = { status: 'rejected', resetsAt: Math.ceil(Date.now() / 1000) + 3600 };
    await system().submit({
      prompt: fakePrompt([
        { line: JSON.stringify({ type: 'rate_limit_event', rate_limit_info: limit }) },
        { result: { is_error: true, api_error_status: 429, result: 'Too many requests' } },
      ]),
    });
    const logins = page.getByRole('region', { name: 'Logins' });
    await logins.getByText('has reached a usage limit').waitFor();
    await logins.getByText(/in (1 hr|59 min|60 min)/).waitFor();
    await logins.getByRole('button', { name: /^Use .* now$/ }).click();
    await page.getByText('Nothing waits for you').waitFor();
  });

  it('offers nothing that the caller may not do, and shows hostile texts as text', async () => {
    await fails(HOSTILE);
    await asks('hostile', 'Bash', { command: HOSTILE, description: '</dl><script>alert(1)</script>' });
    const readOnly = await open({ token: await tokenFor(['jobs:read', 'approvals:read']) });
    const card = readOnly.page.getByRole('article', { name: 'Bash wants to run' });
    await card.getByText('<img src=x onerror=alert(1)> \\u202egnp.exe \\u001b[31mred').waitFor();
    await readOnly.page.getByRole('article', { name: /^Failed/ }).waitFor();
    expect(await readOnly.page.locator('main').getByRole('button').count()).toBe(0);
    expect(await readOnly.page.locator('main img').count()).toBe(0);
    const blind = await open({ token: await tokenFor(['jobs:read']) });
    await blind.page.getByRole('article', { name: /^Failed/ }).waitFor();
    expect(await blind.page.getByRole('article', { name: 'Bash wants to run' }).count()).toBe(0);
  });

  it('is accessible and fits, in both sizes and themes', async () => {
    await asks('accessible', 'Bash', { command: 'echo' });
    await fails('A failure with a long prompt that does not fit on one line of a small telephone');
    const { page, looksRight } = await open({ size: PHONE });
    await page.getByRole('article', { name: 'Bash wants to run' }).waitFor();
    await page
      .getByRole('article', { name: /^Failed/ })
      .first()
      .waitFor();
    await page.getByRole('button', { name: /^Deny/ }).click();
    await looksRight();
  });
});
