/** What a server knows of an executor on another host before the first job. */
import { expect, it, onTestFinished } from 'vitest';
import { loadSettings } from '../../../src/config/load.ts';
import type { Runner } from '../../../src/executor/runner.ts';
import { createLogger } from '../../../src/logger.ts';
import { openRemoteExecutor } from '../../../src/remote/open-runner.ts';
import { type Reply, SECRET, scriptedExecutor } from '../../fakes/scripted-executor.ts';
import { eventually } from '../../helpers/eventually.ts';
import { tempDir } from '../../helpers/temp.ts';

const HEALTHY = {
  ...{ status: 'healthy', claudeAvailable: true, version: '2.1.0', loggedIn: true },
  ...{ problem: null, activeRequests: 0 },
};

/** A server's side of it, and the runner that its jobs would use. */
function open(url: string, more: Readonly<Record<string, string>> = {}) {
  const dir = tempDir();
  const env = {
    ...{ HOME: dir, BULLPEN_CWD: dir, BULLPEN_EXECUTOR: 'http' },
    ...{ CLAUDE_SERVICE_URL: url, CLAUDE_SERVICE_SECRET: SECRET },
  };
  const settings = loadSettings({ ...env, ...more }, dir);
  const lines: string[] = [];
  const logger = createLogger('info', { write: (line) => void lines.push(line) });
  const nothing = {} as never; // no job is prepared here
  const remote = openRemoteExecutor(settings, nothing, '1', logger) ?? expect.unreachable();
  onTestFinished(() => remote.stop());
  remote.start();
  return { remote, runner: remote.runner(nothing as Runner), lines };
}

it.each<[string, Reply, RegExp]>([
  ['does not answer', 'reset', /^not reached since the start: the executor cannot be reached/],
  [
    'refuses the signature',
    { problem: 'signature.invalid' },
    /^not reached since the start: the executor refuses the signature/,
  ],
])('an executor that %s at the start is a problem until it works', async (_, reply, reason) => {
  const executor = await scriptedExecutor();
  executor.script('known', reply, reply, { json: { node: 'node-1', executions: [] } });
  executor.script('health', { json: HEALTHY });
  const { remote, runner, lines } = open(executor.url);
  await eventually(() => remote.problem() !== null);
  expect(remote.problem()).toMatch(reason);
  expect(runner.problem()).toBe(remote.problem());
  await eventually(() => remote.problem() === null);
  expect(runner.problem()).toBeNull();
  expect(lines.filter((line) => line.includes('cannot be used now'))).toHaveLength(1);
  expect(executor.of('known')).toHaveLength(3);
});

it('a server that runs jobs itself meanwhile has a note of it, and no problem', async () => {
  const executor = await scriptedExecutor();
  executor.script('known', 'reset');
  const { remote, runner } = open(executor.url, { BULLPEN_EXECUTOR_FALLBACK: 'local' });
  await eventually(() => remote.problem() !== null);
  expect(runner.problem()).toBeNull();
});
