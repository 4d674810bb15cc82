/** What the README and the pages that are tasks say, as a user types it: with one server. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Session } from '../../src/protocol/session.ts';
import { PROGRAM } from '../helpers/program.ts';
import { sharedServer } from '../helpers/server.ts';

const ROOT = join(fileURLToPath(import.meta.url), '../../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const DOCS = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => read(join('docs', name)));
const manifest: { version: string } = JSON.parse(read('package.json'));
const README = read('README.md');
const LIMITS = read('docs/limits.md');

/** The shell blocks of a page, as they are written. */
const blocksOf = (page: string): string[] =>
  [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block ?? '');

/** The part of a page below a heading. */
const sectionOf = (page: string, heading: string): string =>
  page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? expect.unreachable();

const call = (name: string, input: object): string => `[[tool: ${name} ${JSON.stringify(input)}]]`;

/** A time zone in which it is afternoon, so that the night is some hours away. */
const offset = new Date().getUTCHours() - 14;
const TZ = `Etc/GMT${offset < 0 ? offset : `+${offset}`}`;

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

describe('with a server', () => {
  const shared = sharedServer(() => ({
    env: {
      ANTHROPIC_BASE_URL: model.url,
      CLAUDE_CODE_OAUTH_TOKEN: 'offline',
      BULLPEN_CONCURRENCY: '1',
      BULLPEN_SWEEP_MS: '100',
    },
  }));

  /**
   * Runs blocks one after the other in one shell, and resolves to what each has printed.
   * @param waits a command by the place of a block: it is repeated until it succeeds, then the
   *   block runs
   */
  async function typed(
    blocks: readonly string[],
    env: Readonly<Record<string, string>>,
    waits: Readonly<Record<number, string>> = {},
  ): Promise<readonly string[]> {
    const { workspace, dir } = shared();
    const bullpen = `bullpen() { '${process.execPath}' --no-warnings '${PROGRAM}' "$@"; }`;
    const script = blocks.map((block, place) => {
      const wait = waits[place];
      return `${wait === undefined ? '' : `until ${wait}; do sleep 0.1; done\n`}echo "=== ${place}"\n${block}`;
    });
    const { stdout } = await promisify(execFile)(
      'bash',
      ['-c', ['set -eu; exec < /dev/null', bullpen, ...script].join('\n')],
      {
        cwd: workspace,
        env: { PATH: process.env['PATH'] ?? '', HOME: join(dir, 'home'), ...env },
        timeout: 90_000,
      },
    );
    return stdout.split(/=== \d+\n/).slice(1);
  }
  /** A command that succeeds when the answer at a path has this text. */
  const has = (path: string, text: string): string => {
    const { url, token } = shared();
    return `curl -s '${url}${path}' -H 'Authorization: Bearer ${token}' | grep -q '${text}'`;
  };
  const asks = (text: string): string => has('/v1/approvals?status=pending', text);
  /** As a user of this server's data folder. */
  const own = () => ({ BULLPEN_HOME: shared().home, TZ });

  it('the walk-through of the README does what it says', async () => {
    const part = README.split('<!-- walk-through: begin -->')[1]?.split('<!-- walk-through: end -->')[0];
    const blocks = blocksOf(part ?? expect.unreachable());
    expect(blocks.length).toBeGreaterThanOrEqual(5);
    const { url, token } = shared();
    const printed = await typed(blocks, { BULLPEN_URL: url, BULLPEN_TOKEN: token });
    const [, plain = '', , watched = '', rest = ''] = printed;
    expect(plain).toContain('offline model');
    expect(watched).toContain('event: job.finished');
    expect(watched).toMatch(/^\{"seq":4,/m); // resumed after 3, as NDJSON
    expect(rest).toContain('"status":"succeeded"');
    expect(rest).toContain('"nextCursor":null');
    expect(rest).toContain('"job.already_finished"');
    expect(rest).toContain('"name":"claude"');
  });

  it('docs/retry.md does what it says', async () => {
    const [made = '', results = '', retried = '', both = '', ...more] = await typed(
      blocksOf(read('docs/retry.md')),
      own(),
    );
    expect(more).toEqual([]);
    expect(made).toContain('some failed');
    expect(results).toContain('{"customId":"row-1","status":"succeeded","error":null}');
    expect(results).toContain('{"customId":"row-2","status":"failed","error":"execution.timed_out"}');
    expect(retried).toBe('some failed again\n');
    expect(JSON.parse(both)).toEqual({ 'row-1': 'succeeded', 'row-2': 'failed' });
  });

  it('docs/night.md does what it says, over a limit in the night', async () => {
    model.setBehaviour(
      '[[error: 429 limit=five_hour resets-in=1 times=1 key=night]] [[reply: Good morning.]]',
    );
    const blocks = blocksOf(read('docs/night.md'));
    const printed = await typed([...blocks, 'cat morning.md'], own());
    const [queued = '', scheduled = '', changed, usage, answers, ...more] = printed;
    expect(more).toEqual([]);
    const ids = queued.trim().split('\n').slice(1);
    expect(ids).toHaveLength(3);
    for (const id of ids) expect(scheduled).toMatch(new RegExp(`^${id} +scheduled`, 'm'));
    expect(changed).toBe('');
    expect(usage).toMatch(/^night +4 +75% /m); // the refused one too
    expect(answers).toBe(['docs', 'tests', 'todo'].map((name) => `## ${name}\nGood morning.\n\n`).join(''));
  });

  it('docs/sessions.md does what it says', async () => {
    model.setBehaviour('[[reply: It depends.]]');
    const blocks = [...blocksOf(read('docs/sessions.md')), 'bullpen sessions --json'];
    const [printed = '', listed = '', ...more] = await typed(blocks, own());
    expect(more).toEqual([]);
    expect(printed.match(/It depends\./g)?.length).toBeGreaterThanOrEqual(4);
    expect(printed).toMatch(/^ +2 +\S+ +succeeded +And with Redis\? +It depends\.$/m);
    const sessions: Session[] = JSON.parse(listed).data;
    const first = sessions.find(({ forkedFrom }) => forkedFrom === null);
    expect(first).toMatchObject({ name: 'cache', turns: 2, status: 'closed' });
    const fork = sessions.find(({ forkedFrom }) => forkedFrom === first?.id);
    expect(fork).toMatchObject({ turns: 1, status: 'ready' });
  });

  it('docs/approvals.md: ask before it pushes', async () => {
    const push = call('Bash', { command: 'git push origin main', description: 'Push the commit' });
    model.setBehaviour(`${push} [[reply: The commit is pushed.]]`);
    const blocks = blocksOf(sectionOf(read('docs/approvals.md'), 'Ask before it pushes'));
    const [made, listed = '', ended = '', ...more] = await typed(blocks, own(), {
      1: asks('git push'),
    });
    expect([made, more]).toEqual(['', []]);
    expect(listed).toContain('Bash wants to run\n    git push origin main\n  Push the commit\n');
    expect(ended).toContain('The commit is pushed.');
  });

  it('docs/approvals.md: answer from another machine', async () => {
    const publish = call('Bash', { command: 'npm publish', description: 'Publish' });
    model.setBehaviour(`${publish} [[reply: It is not published.]]`);
    const blocks = blocksOf(sectionOf(read('docs/approvals.md'), 'Answer from another machine'));
    const { url, token } = shared();
    const env = { BULLPEN_URL: url, BULLPEN_TOKEN: token };
    const [, listed = '', ...more] = await typed([...blocks, 'echo $job'], env, {
      1: asks('npm publish'),
    });
    expect(listed).toContain('Bash npm publish');
    expect(await shared().finished(more[0]?.trim() ?? '')).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'It is not published.' },
    });
  });

  it('docs/approvals.md: let it ask you', async () => {
    const options = ['SQLite', 'Redis'].map((label) => ({ label, description: `in ${label}` }));
    const question = { question: 'Where is it kept?', header: 'Store', options, multiSelect: false };
    model.setBehaviour(`${call('AskUserQuestion', { questions: [question] })} [[reply: A cache in SQLite.]]`);
    const blocks = blocksOf(sectionOf(read('docs/approvals.md'), 'Let it ask you'));
    const [, printed = '', ...more] = await typed(blocks, own(), { 1: asks('Where is it kept') });
    expect(more).toEqual([]);
    expect(printed).toContain('Store: Where is it kept?\n  1  SQLite - in SQLite\n  2  Redis - in Redis\n');
    expect(printed).toContain('A cache in SQLite.');
  });

  it('docs/limits.md does what it says', async () => {
    model.setBehaviour('[[error: 429 limit=seven_day resets-in=3600 times=1 key=week]] [[reply: Done.]]');
    const isLimited = has('/v1/jobs?waitReason=quota', '"status":"scheduled"');
    const [made = '', limited = '', opened] = await typed(blocksOf(LIMITS), own(), { 1: isLimited });
    const [refused = '', waiting = ''] = made.trim().split('\n');
    expect(limited).toMatch(/^claude .* claude:\S+ limited until \d{4}-/m);
    expect(limited).toMatch(new RegExp(`^${refused} +scheduled`, 'm'));
    expect(opened).toBe('');
    expect(await shared().finished(waiting)).toMatchObject({ status: 'succeeded', attempts: 1 });
  });
});

it('the README says how to get the command from a clone, and that works from any folder', async () => {
  const line = /^alias bullpen=.*$/m.exec(README)?.[0] ?? expect.unreachable();
  const script = `shopt -s expand_aliases\n${line}\ncd /\nbullpen --version`;
  const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd: ROOT, timeout: 90_000 });
  expect(stdout).toBe(`${manifest.version}\n`);
  expect(README).toContain(`./agent-bullpen-${manifest.version}.tgz`);
  // The npm package of that name is another project.
  const mentions = [README, ...DOCS].flatMap((text) => text.match(/.*npx bullpen.*/g) ?? []);
  expect(mentions).toEqual([expect.stringContaining('would run something else')]);
});
