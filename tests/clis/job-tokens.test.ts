/** The tools of the real CLIs get the token of their job, and can use it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codexOfflineArgs } from '../../scripts/offline-model/codex-cases.ts';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import { PROGRAM } from '../helpers/program.ts';
import { CLAUDE, CODEX, GEMINI, type RealCli } from '../helpers/real-clis.ts';
import { sharedServer, startServer, type TestServer } from '../helpers/server.ts';

const BULLPEN = `'${process.execPath}' --no-warnings '${PROGRAM}'`;

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const custom = { script: { binary: 'sh', args: ['-s'] } };

/** A tool of the CLI runs `bullpen run`, and its job is one of the CLI's job. */
async function makesJob(server: TestServer, cli: RealCli, permissionMode: string): Promise<void> {
  const command = `${BULLPEN} run --provider script 'echo from inside' > answer 2> problem`;
  const prompt = `${cli.tool(command)} [[reply: Done.]]`;
  const job = await server.run({ provider: cli.name, permissionMode, prompt });
  expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'Done.' } });
  expect(readFileSync(join(server.workspace, 'problem'), 'utf8')).not.toContain('bullpen:');
  expect(readFileSync(join(server.workspace, 'answer'), 'utf8')).toContain('from inside');
  const made = await server.api('GET', `/v1/jobs?principal=job:${job.id}`);
  expect(await made.json()).toMatchObject({ data: [{ provider: 'script', status: 'succeeded' }] });
}

describe.each([
  ['claude', CLAUDE],
  ['codex', CODEX],
  ['gemini', GEMINI],
])('a tool of %s', (_name, cli) => {
  const shared = sharedServer(() => ({
    env: { ...cli.env(model), BULLPEN_JOB_TOKENS: 'on' },
    config: { providers: { ...cli.config(model).providers, custom } },
  }));
  beforeAll(() => {
    for (const [name, content] of Object.entries(cli.homeFiles)) {
      const path = join(shared().dir, 'home', name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    }
  });

  it('makes a job', () => makesJob(shared(), cli, 'fullAccess'));
});

it('a tool of codex makes a job inside its sandbox, with the network that the settings give it', async () => {
  const { codex } = CODEX.config(model).providers ?? {};
  const args = [...codexOfflineArgs(model.url), '--config=permissions.bullpen.network.enabled=true'];
  const server = await startServer({
    env: { ...CODEX.env(model), BULLPEN_JOB_TOKENS: 'on' },
    config: { providers: { codex: { ...codex, args }, custom } },
  });
  await makesJob(server, CODEX, 'acceptEdits');
});
