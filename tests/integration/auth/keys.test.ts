/** Keys over a real Redis and real copies, as several servers see them. */
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createKeys, type Keys } from '../../../src/auth/keys.ts';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { createSigner } from '../../../src/auth/signer.ts';
import { createIdFactory } from '../../../src/ids.ts';
import type { KeyCreated } from '../../../src/protocol/key.ts';
import { createKeyCopies } from '../../../src/store/keys.ts';
import type { Store } from '../../../src/store/store.ts';
import { eventually } from '../../helpers/eventually.ts';
import { type TestRecords, useTestRecords } from '../../helpers/redis-records.ts';
import { testStore } from '../store/test-store.ts';

const server = useTestRecords();

/** The keys of one server. */
async function serverWith(rpc: TestRecords, store: Store, secret: string | null = null): Promise<Keys> {
  const keys = createKeys({
    ...{ records: rpc.keyRecords, copies: createKeyCopies(store), doorbells: rpc.doorbells },
    ...{ channel: rpc.keysDoorbell, newId: createIdFactory(), logger: pino({ enabled: false }) },
    signer: createSigner(secret),
  });
  await keys.start();
  onTestFinished(() => keys.stop());
  return keys;
}

const create = (keys: Keys, project = 'web'): Promise<KeyCreated> =>
  keys.create(ADMIN_PRINCIPAL, { name: 'ci', project, scopes: ['jobs:write'] }, null);

describe('a key', () => {
  it('works on every server, and its revocation does', async () => {
    const rpc = server.make();
    const [a, b] = [await serverWith(rpc, await testStore()), await serverWith(rpc, await testStore())];
    const { id, token } = await create(a);
    const principal = await eventually(() => b.find(token ?? ''));
    expect(principal).toMatchObject({ id: `key:${id}`, project: 'web', admin: false });
    expect([b.hasProject('web'), b.hasProject('ops')]).toEqual([true, false]);
    await b.revoke(ADMIN_PRINCIPAL, id);
    expect([b.find(token ?? ''), b.current({ id, generation: 1 })]).toEqual([null, null]);
    await eventually(() => a.find(token ?? '') === null);
  });

  it('is known after a lost doorbell, too', async () => {
    const rpc = server.make();
    const deaf = { ...rpc, doorbells: { ...rpc.doorbells, listen: async () => async () => undefined } };
    const [a, b] = [await serverWith(rpc, await testStore()), await serverWith(deaf, await testStore())];
    const { token } = await create(a);
    await eventually(() => b.find(token ?? '') !== null);
  });

  it('changes once for each of two changes at the same time', async () => {
    const rpc = server.make();
    const [a, b] = [await serverWith(rpc, await testStore()), await serverWith(rpc, await testStore())];
    const { id } = await create(a);
    const [one, other] = await Promise.all([a.rotate(ADMIN_PRINCIPAL, id), b.rotate(ADMIN_PRINCIPAL, id)]);
    await Promise.all([a.list(), b.list()]);
    const working = [one, other].filter(({ token }) => a.find(token ?? '') !== null);
    expect(working).toHaveLength(1);
    expect((await rpc.keyRecords.all()).map(({ rev, generation }) => [rev, generation])).toEqual([[3, 3]]);
  });
});

describe('a Redis that has lost its data', () => {
  it('gets the keys back from any server, and a revocation stays', async () => {
    const rpc = server.make();
    const [disk, other] = [await testStore(), await testStore()];
    const a = await serverWith(rpc, disk);
    const late = await serverWith(rpc, other);
    const [live, revoked] = [await create(a), await create(a)];
    await late.list(); // it has a copy from before the revocation
    await late.stop();
    await a.revoke(ADMIN_PRINCIPAL, revoked.id);
    await rpc.loseKeys();
    // A server with the older copies comes first.
    const b = await serverWith(rpc, other);
    await eventually(async () => (await rpc.keyRecords.all()).some(({ revokedAt }) => revokedAt !== null));
    await b.list();
    for (const keys of [a, b]) {
      expect(keys.find(live.token ?? '')).toMatchObject({ project: 'web' });
      expect(keys.find(revoked.token ?? '')).toBeNull();
    }
  });

  it('gets them back after a restart of its only server', async () => {
    const rpc = server.make();
    const disk = await testStore();
    const before = await serverWith(rpc, disk);
    const { token } = await create(before);
    await before.stop();
    await rpc.loseKeys();
    const after = await serverWith(rpc, disk);
    expect(after.find(token ?? '')).toMatchObject({ project: 'web' });
    expect(await rpc.keyRecords.all()).toHaveLength(1);
  });
});

it('a record that cannot be read lets no caller in, and the copy replaces it', async () => {
  const rpc = server.make();
  const keys = await serverWith(rpc, await testStore());
  const { id, token } = await create(keys);
  const forged = ['', '{', '[]', JSON.stringify({ id, rev: 'x', scopes: ['admin'] })];
  for (const text of forged) {
    await rpc.damageKey(id, text);
    await keys.list();
    expect((await rpc.keyRecords.all()).map((record) => record.id)).toEqual([id]);
    expect(keys.find(token ?? '')).toMatchObject({ admin: false });
  }
});

describe('with a signing secret', () => {
  const SECRET = 'a secret of thirty-two bytes or more';
  const stored = async (rpc: TestRecords, id: string) =>
    (await rpc.keyRecords.all()).find((record) => record.id === id) ?? expect.unreachable();

  it('a record that another program has changed changes no right, and is put right', async () => {
    const rpc = server.make();
    const keys = await serverWith(rpc, await testStore(), SECRET);
    const { id, token } = await create(keys);
    const record = await stored(rpc, id);
    for (const change of [{ scopes: ['admin'] }, { project: 'ops' }, { digest: 'f'.repeat(64) }]) {
      await rpc.damageKey(id, JSON.stringify({ ...record, ...change, rev: record.rev + 5 }));
      await keys.list();
      expect(keys.find(token ?? '')).toMatchObject({ project: 'web', scopes: ['jobs:write'], admin: false });
      expect(keys.byId(id)).toMatchObject({ scopes: ['jobs:write'] });
      expect(await stored(rpc, id)).toMatchObject({ project: 'web', scopes: ['jobs:write'] });
    }
    // Another server agrees.
    expect((await serverWith(rpc, await testStore(), SECRET)).find(token ?? '')).toMatchObject({
      project: 'web',
    });
  });

  it('a key from before, or of another secret, is refused until it is rotated', async () => {
    const rpc = server.make();
    for (const secret of [null, 'another secret of thirty-two bytes']) {
      const before = await serverWith(rpc, await testStore(), secret);
      const { id, token } = await create(before);
      await before.stop();
      const keys = await serverWith(rpc, await testStore(), SECRET);
      expect([keys.find(token ?? ''), keys.byId(id)]).toEqual([null, null]);
      expect((await keys.list()).find((key) => key.id === id)).toMatchObject({ status: 'unsigned' });
      const rotated = await keys.rotate(ADMIN_PRINCIPAL, id);
      expect([rotated.status, keys.find(rotated.token ?? '')?.project]).toEqual(['active', 'web']);
      expect(keys.find(token ?? '')).toBeNull();
      await keys.revoke(ADMIN_PRINCIPAL, id);
      expect(keys.find(rotated.token ?? '')).toBeNull();
      await keys.stop();
    }
  });
});
