/**
 * A sandboxed processor that dies in the way its job's id says (`exit-7` exits), on the first
 * delivery only, and completes on every later one. It has the guards of the real workers.
 */
import type { SandboxedJob } from 'bullmq';

const forever = (): Promise<never> => new Promise(() => setInterval(() => undefined, 1 << 30));

const WAYS: Readonly<Record<string, () => Promise<unknown>>> = {
  healthy: async () => undefined,
  hold: forever,
  fail: async () => {
    throw new Error('an ordinary failure');
  },
  throw: () => {
    setImmediate(() => {
      throw new Error('thrown outside the processor');
    });
    return forever();
  },
  reject: () => {
    void Promise.reject(new Error('rejected outside the processor'));
    return forever();
  },
  exit: () => process.exit(0),
  kill: () => {
    process.kill(process.pid, 'SIGKILL');
    return forever();
  },
  memory: async () => {
    const hoard: number[][] = [];
    for (;;) hoard.push(Array.from({ length: 100_000 }, (_, index) => index + hoard.length));
  },
};

export default async function crashing(job: SandboxedJob<{ jobId: string }>) {
  const way = WAYS[job.data.jobId.split('-')[0] ?? ''];
  if (job.attemptsMade === 0) await way?.();
  return 'done';
}
