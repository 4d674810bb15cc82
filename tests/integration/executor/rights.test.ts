/** What a job may do is checked again at each start: its own grant, and that of its key by then. */
import { describe, expect, it } from 'vitest';
import type { JobGrant } from '../../../src/auth/job-grant.ts';
import { createSigner, type Signer } from '../../../src/auth/signer.ts';
import { AppError } from '../../../src/errors.ts';
import { OPEN_GRANT } from '../../../src/protocol/grant.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { NewJob } from '../../../src/records/ports.ts';
import { newJob } from '../../contracts/records/samples.ts';
import { callerOf } from '../../fakes/principals.ts';
import { executorBench } from './bench.ts';

const WHOLE: JobGrant = { ...OPEN_GRANT, scopes: ['jobs:write'], key: null };
const OF_KEY: Partial<NewJob> = { principal: 'key:K', grant: { ...WHOLE, key: 'K' } };
const KEY = callerOf('key:K', 'default', ['jobs:write']);

async function benchWithExecutor(
  settings: Parameters<typeof executorBench>[0] = {},
  signer: Signer | null = null,
) {
  const bench = await executorBench(settings, {}, signer);
  const executor = bench.open({ retryBackoffMs: 1 });
  await executor.start();
  return {
    ...bench,
    executor,
    async run(rest: Partial<NewJob>, request: Partial<ResolvedPrompt> = {}) {
      const id = await bench.submit(request, rest);
      executor.kick();
      const { status, outcome } = await bench.finished(id);
      return { status, code: outcome?.error?.code, message: outcome?.error?.message };
    },
  };
}

it('a job does not start with rights that its record does not have', async () => {
  const bench = await benchWithExecutor();
  const ran = (grant: Partial<JobGrant>, request = {}) =>
    bench.run({ grant: { ...WHOLE, ...grant } }, request);
  expect(await ran({ providers: ['codex'] })).toMatchObject({
    code: 'provider.denied',
    message: 'claude is not allowed here; allowed: codex',
  });
  expect(await ran({ roots: ['/elsewhere'] })).toMatchObject({ code: 'cwd.not_allowed' });
  expect(await ran({ tools: ['Read'] }, { allowedTools: ['Bash'] })).toMatchObject({ code: 'tools.denied' });
  expect(await ran({ permissionModes: ['plan'] })).toMatchObject({ code: 'permission_mode.denied' });
  expect(bench.started()).toEqual([]);
  const narrow = { providers: ['claude'], roots: [bench.workspace], tools: ['Read'] };
  expect(await ran(narrow, { allowedTools: ['Read'] })).toEqual({ status: 'succeeded' });
});

it('a fallback that the grant does not allow does not run the job', async () => {
  const bench = await benchWithExecutor({
    claude: { binary: '/missing/claude', fallback: 'echo' },
    custom: { echo: { binary: '/bin/cat' } },
  });
  expect(await bench.run({ grant: { ...WHOLE, providers: ['claude'] } })).toMatchObject({
    code: 'execution.cli_missing',
    message: expect.stringContaining('echo is not allowed here'),
  });
  expect(await bench.run({ grant: WHOLE })).toMatchObject({ status: 'succeeded' });
});

it('a job of a key that counts no longer ends as auth.revoked, and starts nothing', async () => {
  const bench = await benchWithExecutor();
  const revoked = {
    ...{ status: 'failed', code: 'auth.revoked' },
    message: 'the key that made the job was revoked or has expired',
  };
  expect(await bench.run(OF_KEY)).toEqual(revoked);
  // A record of an older version, and a job that a job of the key has made.
  expect(await bench.run({ principal: 'key:K', grant: null })).toEqual(revoked);
  expect(await bench.run({ principal: 'job:J', grant: { ...WHOLE, key: 'K', depth: 1 } })).toEqual(revoked);
  bench.keys.set('K', callerOf('key:K', 'default', ['jobs:read']));
  expect(await bench.run(OF_KEY)).toMatchObject({ code: 'auth.revoked' });
  expect(bench.started()).toEqual([]);
  bench.keys.set('K', KEY);
  expect(await bench.run(OF_KEY)).toEqual({ status: 'succeeded' });
});

it('a key that was narrowed after the job was made holds', async () => {
  const bench = await benchWithExecutor();
  bench.keys.set('K', { ...KEY, grant: { ...OPEN_GRANT, tools: ['Read'] } });
  expect(await bench.run(OF_KEY, { allowedTools: ['Bash'] })).toMatchObject({ code: 'tools.denied' });
  // A wider one does not widen what the job was made with.
  bench.keys.set('K', KEY);
  const narrow = { principal: 'key:K', grant: { ...WHOLE, key: 'K', tools: [] } };
  expect(await bench.run(narrow, { allowedTools: ['Bash'] })).toMatchObject({ code: 'tools.denied' });
  expect(bench.started()).toEqual([]);
});

it('a second execution does not start when the key was revoked during the first one', async () => {
  const bench = await benchWithExecutor();
  bench.keys.set('K', KEY);
  const overloaded = {
    ...{ is_error: true, subtype: 'error_during_execution', api_error_status: 529, result: 'overloaded' },
  };
  const steps = [{ waitFor: bench.file('revoked') }, { result: overloaded }];
  const id = await bench.submit({ maxAttempts: 5, steps }, OF_KEY);
  bench.executor.kick();
  await bench.spawned(1);
  bench.keys.delete('K');
  bench.touch('revoked');
  await bench.until(async () => (await bench.read(id)).status === 'scheduled');
  await bench.advance(60_000);
  await bench.rpc.submissions.submit(id, 'second');
  expect(await bench.finished(id)).toMatchObject({
    status: 'failed',
    outcome: { error: { code: 'auth.revoked' } },
  });
  expect(bench.started()).toHaveLength(1);
});

it('a job waits while it is not known whether its key was revoked', async () => {
  const bench = await executorBench();
  let asked = 0;
  const rights = {
    of() {
      asked += 1;
      if (asked < 3) throw new AppError('redis.unavailable', 'not known');
      return [];
    },
  };
  const executor = bench.open({}, {}, {}, rights);
  await executor.start();
  const id = await bench.submit();
  executor.kick();
  expect(await bench.finished(id)).toMatchObject({ status: 'succeeded' });
  expect(asked).toBeGreaterThanOrEqual(3);
});

describe('with a signing secret', () => {
  const SIGNER = createSigner('a secret of thirty-two bytes or more');
  const MINE = { project: 'web', principal: 'admin', grant: { ...WHOLE, tools: ['Read'] } };

  it('a job that another client of Redis has made or changed starts nothing', async () => {
    const bench = await executorBench({}, {}, SIGNER);
    const { request = '', signature = '', grant = '' } = await bench.stored(await bench.submit({}, MINE));
    const changes: [string, string][] = [
      ['request', request.replace('hello', 'rm -rf')],
      ['request', `${request} `],
      ['grant', ''],
      ['grant', grant.replace('"tools":["Read"]', '"tools":null')],
      ['project', 'ops'],
      ['principal', 'key:K'],
      ['signature', ''],
      ['signature', signature], // of another job
    ];
    const forged: string[] = [];
    for (const [field, value] of changes) {
      const id = await bench.submit({}, MINE);
      await bench.rpc.forge(id, field, value);
      expect(await bench.rpc.records.read(id), field).toMatchObject({ forged: true });
      forged.push(id);
    }
    const executor = bench.open();
    bench.redeliver(executor);
    await executor.start();
    for (const id of forged) {
      const { outcome } = await bench.finished(id);
      expect(outcome?.error).toMatchObject({ code: 'auth.unsigned', retryable: false });
    }
    await bench.until(() => bench.started().length === 1); // the one that was not changed
  });

  it('a look ahead sees that a job is forged, too, so that it starts no process', async () => {
    const bench = await executorBench({}, {}, SIGNER);
    const id = await bench.submit({}, MINE);
    expect(await bench.claims.peek(1)).toMatchObject([{ jobId: id, forged: false }]);
    await bench.rpc.forge(id, 'principal', 'key:K');
    expect(await bench.claims.peek(1)).toMatchObject([{ jobId: id, forged: true }]);
  });

  it('a job that this server has made runs, also after a change by the API, in a batch, and raw', async () => {
    const bench = await benchWithExecutor({}, SIGNER);
    const id = await bench.submit({}, MINE);
    const priority = { value: 5, score: 1 };
    await bench.rpc.records.change(id, { tags: ['x'], metadata: { a: 'b' }, archived: true, priority });
    const [member, raw] = [
      newJob({ cwd: bench.workspace }),
      newJob({ cwd: bench.workspace }, { kind: 'raw' }),
    ];
    const batch = { project: 'default', principal: 'admin', createdAt: 1, idempotency: null };
    await bench.rpc.batches.open({ ...batch, id: 'b', entries: [{ id: member.id }] });
    await bench.rpc.batches.add('b', 0, [member]);
    await bench.claims.adopt(raw, 'e-raw');
    await bench.rpc.submissions.submit(member.id, 'e-member');
    bench.redeliver(bench.executor);
    for (const one of [id, member.id, raw.id])
      expect(await bench.finished(one)).toMatchObject({ forged: false, status: 'succeeded' });
  });
});
