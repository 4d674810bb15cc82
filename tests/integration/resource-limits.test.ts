/** What an execution uses, over HTTP. A job that takes too much: C21 of e2e/cli-faults. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ProcessList } from '../../src/protocol/server-info.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';
import { startServer } from '../helpers/server.ts';

/** Does nothing until there is a file `go` in its workspace. */
const WAITS = 'setInterval(() => { if (require("node:fs").existsSync("go")) process.exit(); }, 20);';
const custom = { waits: { binary: 'node', args: ['-e', WAITS] } };

it('what runs is listed with what it uses, and no job can ask for more than the server allows', async () => {
  const server = await startServer({ config: { providers: { custom } } });
  const answer = async (): Promise<ProcessList> => {
    const response = await server.api('GET', '/v1/processes');
    return (await response.json()) as ProcessList; // the documented answer
  };
  const list = async () => (await answer()).data;
  const { id } = await server.run({ prompt: 'x', provider: 'waits' }, 0);
  await eventually(
    async () => {
      const { data, summary } = await answer();
      const [one = expect.unreachable()] = data;
      expect(summary).toEqual({ total: 1, alive: 1, dead: 0 });
      expect(one).toMatchObject({ jobId: id, provider: 'waits', attempt: 1, processes: 1, alive: true });
      expect(one.memoryBytes).toBeGreaterThan(10_000_000);
      expect(one.openFiles).toBeGreaterThan(3);
      expect(one.ageMs).toBeGreaterThanOrEqual(one.idleMs);
      expect(isAlive(one.pid)).toBe(true);
    },
    { timeoutMs: 40_000 },
  );
  const go = join(server.workspace, 'go');
  writeFileSync(go, '');
  expect(await server.finished(id)).toMatchObject({ status: 'succeeded' });
  expect(await list()).toEqual([]);

  rmSync(go);
  const stopped = await server.run({ prompt: 'x', provider: 'waits' }, 0);
  const { id: process } = await eventually(async () => (await list())[0] ?? null);
  const asked = await server.api('POST', `/v1/processes/${process}/terminate`, {});
  expect([asked.status, await asked.json()]).toMatchObject([202, { id: process, jobId: stopped.id }]);
  expect(await server.finished(stopped.id)).toMatchObject({ status: 'cancelled' });
  expect(await list()).toEqual([]);

  const refused = await server.api('POST', '/v1/jobs', { prompt: 'x', limits: { processes: 5000 } });
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({ errors: [{ path: '/limits/processes' }] });
});
