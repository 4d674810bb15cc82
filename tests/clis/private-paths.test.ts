/**
 * What no tool of a CLI may read: the data folder, and the logins of all CLIs. Proved with the real
 * CLIs, in the modes that allow the most.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import { CLAUDE, CODEX, CODEX_APP_SERVER, GEMINI, type RealCli } from '../helpers/real-clis.ts';
import { sharedServer, type TestServer } from '../helpers/server.ts';

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const LOGINS = {
  '.claude/.credentials.json': 'not a real login of claude',
  '.claude.json': '{}',
  '.codex/auth.json': '{}',
  '.gemini/oauth_creds.json': 'not a real login of gemini',
  '.config/cursor/auth.json': 'not a real login of cursor',
  '.config/bullpen/tokens.json': 'not a real token',
};

const filesOf = (cli: RealCli) => ({ ...LOGINS, 'notes.txt': 'anyone may read this', ...cli.homeFiles });

const sharedServerOf = (cli: RealCli): (() => TestServer) => {
  const shared = sharedServer(() => ({ env: cli.env(model), config: cli.config(model) }));
  beforeAll(() => {
    for (const [name, content] of Object.entries(filesOf(cli))) {
      const path = join(shared().dir, 'home', name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    }
  });
  return shared;
};

async function eventsOf(server: TestServer, { id }: Job): Promise<string> {
  const path = `/v1/jobs/${id}/events`;
  return (await server.api('GET', path, undefined, { accept: 'application/x-ndjson' })).text();
}

/** Copies an ordinary file and then each secret; which of the secrets are in the workspace then. */
async function stolenBy(cli: RealCli, permissionMode: string, server: TestServer): Promise<string[]> {
  const home = join(server.dir, 'home');
  const secrets = [
    ...readdirSync(server.home).filter((name) => name !== 'tmp' && name !== 'redis'),
    'redis/password',
  ]
    .map((name) => join(server.home, name))
    .concat(
      Object.keys(LOGINS).map((name) => join(home, name)),
      join(server.dir, 'bullpen.config.yaml'),
    );
  const files = [join(home, 'notes.txt'), ...secrets];
  const copies = files.map((path, index) => `cp '${path}' copy-${index}`);
  const prompt = `${copies.map((copy) => cli.tool(copy)).join(' ')} [[reply: Done.]]`;
  const job = await server.run({ provider: cli.name, permissionMode, prompt });
  expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'Done.' } });
  expect(readFileSync(join(server.workspace, 'copy-0'), 'utf8')).toBe('anyone may read this');
  return secrets.filter((_, index) => existsSync(join(server.workspace, `copy-${index + 1}`)));
}

const NOTHING = 'copies an ordinary file, and nothing of the data folder and no login';

describe('claude', () => {
  const shared = sharedServerOf(CLAUDE);

  it(NOTHING, async () => {
    expect(await stolenBy(CLAUDE, 'fullAccess', shared())).toEqual([]);
  });

  it('reads and changes none of it with its own tools', async () => {
    const server = shared();
    const token = join(server.home, 'token');
    const login = join(server.dir, 'home', '.codex/auth.json');
    const before = readFileSync(token, 'utf8');
    const tools = [
      ['Read', { file_path: token }],
      ['Read', { file_path: login }],
      ['Write', { file_path: token, content: 'x' }],
      ['Write', { file_path: login, content: 'x' }],
      ['Bash', { command: `echo x > ${token}`, description: 'x' }],
    ].map(([name, input]) => `[[tool: ${name} ${JSON.stringify(input)}]]`);
    const prompt = `${tools.join(' ')} [[reply: Done.]]`;
    const job = await server.run({ prompt, permissionMode: 'fullAccess' });
    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'Done.' } });
    const ended = (await eventsOf(server, job)).split('\n').filter((line) => line.includes('"tool.ended"'));
    expect(ended).toHaveLength(tools.length);
    for (const line of ended) expect(JSON.parse(line)).toMatchObject({ isError: true });
    expect(readFileSync(token, 'utf8')).toBe(before);
    expect(readFileSync(login, 'utf8')).toBe(LOGINS['.codex/auth.json']);
  });
});

describe.each([
  ['exec', CODEX],
  ['app-server', CODEX_APP_SERVER],
])('codex %s', (_, cli) => {
  const shared = sharedServerOf(cli);

  it(NOTHING, async () => {
    expect(await stolenBy(cli, 'acceptEdits', shared())).toEqual([]);
  });

  it('shows none of it in its read-only mode', async () => {
    const server = shared();
    const home = join(server.dir, 'home');
    // One that ends at once may be missing in its output.
    const command = `cat ${home}/.claude/.credentials.json ${home}/notes.txt; sleep 1`;
    const job = await server.run({ provider: 'codex', prompt: `${CODEX.tool(command)} [[reply: Done.]]` });
    expect(job).toMatchObject({ status: 'succeeded' });
    const events = await eventsOf(server, job);
    expect(events).toContain('anyone may read this');
    expect(events).not.toContain('not a real login');
  });
});

describe('gemini', () => {
  const shared = sharedServerOf(GEMINI);

  it(NOTHING, async () => {
    expect(await stolenBy(GEMINI, 'fullAccess', shared())).toEqual([]);
  });

  it('reads nothing outside of its workspace with its own tools', async () => {
    const server = shared();
    const paths = [join(server.home, 'token'), join(server.dir, 'home', '.gemini/oauth_creds.json')];
    const tools = paths.map((path) => `[[tool: read_file ${JSON.stringify({ file_path: path })}]]`);
    const prompt = `${tools.join(' ')} [[reply: Done.]]`;
    const job = await server.run({ provider: 'gemini', prompt, permissionMode: 'fullAccess' });
    const ended = (await eventsOf(server, job)).split('\n').filter((line) => line.includes('"tool.ended"'));
    expect(ended).toHaveLength(tools.length);
    for (const line of ended) expect(JSON.parse(line)).toMatchObject({ isError: true });
  });
});
