/** `shownState` (TypeScript) and the scripts (Lua) must agree on which job a gate keeps. */
import { expect, it } from 'vitest';
import { shownState } from '../../../src/protocol/gates.ts';
import type { TestRecords } from '../../helpers/redis-records.ts';
import { ask, BY, DENY, park, talking } from './approving.ts';
import { createBench } from './bench.ts';
import { randomOf } from './random.ts';
import { newJob } from './samples.ts';

const WORLDS = 100;
const JOBS = 8;
const HOUR_MS = 3_600_000;
/** Fixed, so that a failure is the same everywhere. */
const SEED = 20_260_101;
const NODES = ['n1', 'n2'] as const;
const HELD = ['queue', 'node:n1', 'node:n2', 'project:web', 'provider:claude', 'provider:codex'] as const;

/** Random gates, and jobs of every kind that they may concern. */
async function makeWorld(rpc: TestRecords, random: () => number) {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T; // the index is inside
  const now = await rpc.now();
  for (const node of NODES) {
    await rpc.claimsOf(node).renew([], { claude: pick(['claude:a', 'claude:b']), codex: 'codex:a' });
  }
  for (const gate of HELD) if (random() < 0.12) await rpc.gates.hold(gate, true);
  for (const credential of ['claude:a', 'claude:b', 'codex:a']) {
    const resetsAt = now + HOUR_MS * pick([1, 2]);
    const word = pick([null, 'opus']);
    if (random() < 0.3) await rpc.gates.reserve(credential, word, resetsAt);
    if (random() < 0.4) await rpc.gates.ran(credential, pick(['opus-5', 'haiku-4']));
    if (random() < 0.4) {
      const refusal = { credential, word, resetsAt, reason: 'quota', executionId: 'e', model: null } as const;
      const backoff = { firstMs: HOUR_MS, maxMs: HOUR_MS };
      await rpc.gates.refuse({ ...refusal, enteredAt: now, backoff });
    }
  }
  if (random() < 0.2) await rpc.closeGate(pick(['budget:web', 'budget:web|alice']), now + HOUR_MS);
  return Array.from({ length: JOBS }, () => {
    const onQuota = pick([undefined, 'wait', 'fail'] as const);
    const model = pick([null, 'opus-5', 'haiku-4']);
    const asked = { provider: pick(['claude', 'codex', 'echo']), model, priority: pick([0, -3]) };
    const job = newJob(
      { ...asked, ...(onQuota && { onQuota }) },
      { project: pick(['default', 'web']), pin: pick([null, 'n1', 'n2']) },
    );
    return { ...job, ...asked, failsAtLimit: onQuota === 'fail' };
  });
}

export function shownStates(make: () => TestRecords): void {
  const slow = { timeout: 180_000 };
  it(
    `a job is shown as queued if and only if a node would run it, in ${WORLDS} random worlds`,
    slow,
    async () => {
      const random = randomOf(SEED);
      const seen = new Map<string, number>();
      for (let world = 0; world < WORLDS; world += 1) {
        const rpc = make();
        const jobs = await makeWorld(rpc, random);
        for (const job of jobs) await rpc.records.create(job);
        const gates = await rpc.gates.inTheWay();
        const claimed = [];
        for (const node of NODES) claimed.push(...(await rpc.claim(node, JOBS)));
        const runs = new Set(claimed.map(({ jobId }) => jobId));
        for (const job of jobs) {
          const queued = { status: 'queued', waitReason: null, scheduledFor: null } as const;
          const { status, waitReason } = shownState(gates, { ...job, ...queued });
          const key = waitReason ?? status;
          seen.set(key, (seen.get(key) ?? 0) + 1);
          expect(status === 'queued', `world ${world}: ${JSON.stringify({ job, gates })}`).toBe(
            runs.has(job.id),
          );
        }
      }
      for (const state of ['queued', 'paused', 'node', 'quota', 'budget'])
        expect(seen.get(state) ?? 0, state).toBeGreaterThan(20);
    },
  );

  it('a job that waits for a person is shown so behind each gate, and runs only when it is answered', async () => {
    const bench = await createBench(make());
    const claim = await talking(bench);
    const id = await ask(bench, claim, 'c1');
    await park(bench, claim);
    const job = newJob({}, { id: claim.jobId });
    const seen = { ...job, provider: 'claude', model: null, priority: 0, failsAtLimit: false };
    const waits = { status: 'waiting', waitReason: 'approval', scheduledFor: null } as const;
    for (const gate of HELD) await bench.gates.hold(gate, true);
    for (const gate of HELD) {
      expect(shownState(await bench.gates.inTheWay(), { ...seen, ...waits })).toEqual(waits);
      await bench.gates.hold(gate, false);
      expect(await bench.claimsOf('n1').claim(5)).toEqual([]);
    }
    for (const gate of HELD) await bench.gates.hold(gate, true);
    await bench.approvals.decide(id, { decision: DENY, scope: 'call' }, BY);
    const queued = { status: 'queued', waitReason: null, scheduledFor: null } as const;
    expect(shownState(await bench.gates.inTheWay(), { ...seen, ...queued })).toMatchObject({
      waitReason: 'paused',
    });
    expect(await bench.claimsOf('n1').claim(5)).toEqual([]);
    for (const gate of HELD) await bench.gates.hold(gate, false);
    expect(await bench.claimsOf('n1').claim(5)).toMatchObject([{ jobId: claim.jobId, attempt: 2 }]);
    await bench.verify();
  });
}
