/** The secret that a server and its executor share: where it must not be found. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { launchExecutor } from '../../helpers/executor-program.ts';
import { launchServer } from '../../helpers/server.ts';
import { whenOver } from '../../helpers/shared.ts';
import { tempDir } from '../../helpers/temp.ts';

const SECRET = 'c4n4ry-0123456789abcdef-of-both-sides';
const OLD_SECRET = 'old-c4n4ry-fedcba9876543210-of-both-sides';

/** A CLI that finds the file with the secret, and prints it and its whole environment. */
const LEAKY = `
  process.stdin.resume();
  const { readFileSync } = require('node:fs');
  if (process.argv.includes('--version')) console.log('1.0');
  else console.log('found', readFileSync(process.argv.at(-1), 'utf8'), JSON.stringify(process.env));
`;

const textOfFiles = (folder: string): string =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true)
    .map((file) => readFileSync(file, 'latin1'))
    .join('\n');

it('is in no environment of a CLI, no event, outcome, log or file of either side', async () => {
  const dir = tempDir();
  const file = join(dir, 'executor-secret');
  writeFileSync(file, `${SECRET}\n${OLD_SECRET}\n`, { mode: 0o600 });
  const script = join(dir, 'leaky.cjs');
  writeFileSync(script, LEAKY);
  const config = { providers: { custom: { leaky: { binary: process.execPath, args: [script, file] } } } };
  const executor = await launchExecutor({
    ...{ dir: join(dir, 'executor'), config },
    env: {
      CLAUDE_SERVICE_SECRET: '',
      CLAUDE_SERVICE_SECRET_FILE: file,
      BULLPEN_PASS_ENV: 'CLAUDE_SERVICE_SECRET_FILE',
    },
  });
  whenOver(executor.stop);
  const server = await launchServer({
    ...{ dir: join(dir, 'server'), config },
    env: {
      BULLPEN_CWD: executor.workspace,
      ARCH_MODE: 'modular',
      CLAUDE_SERVICE_URL: executor.url,
      CLAUDE_SERVICE_SECRET: SECRET,
    },
  });
  whenOver(() => server.stop());

  const job = await server.run({ prompt: 'leak', provider: 'leaky' });
  expect(job.outcome).toMatchObject({ error: null, executor: 'http' });
  expect(job.outcome?.text).toContain('found [redacted]');
  expect(job.outcome?.text).toContain('"BULLPEN_EXECUTION_ID"');
  expect(job.outcome?.text).not.toContain('CLAUDE_SERVICE');
  const events = await (await server.api('GET', `/v1/jobs/${job.id}/events?raw=true`)).text();
  await server.stop();
  await executor.kill('SIGTERM');
  const places = {
    ...{ events, executorLog: executor.log(), serverLog: server.log() },
    executorData: textOfFiles(join(dir, 'executor')),
    serverData: textOfFiles(join(dir, 'server')),
  };
  for (const [place, text] of Object.entries(places)) {
    expect(text.length, place).toBeGreaterThan(100);
    for (const secret of [SECRET, OLD_SECRET]) expect(text.includes(secret), place).toBe(false);
  }
});
