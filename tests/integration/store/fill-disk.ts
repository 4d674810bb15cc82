/**
 * Lives on a small disk (argument: its folder), fills it, and prints what the store did as one line
 * of JSON.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { openStore } from '../../../src/store/store.ts';

const dir = process.argv[2] ?? '';
const filler = join(dir, 'filler');
const store = await openStore({ file: join(dir, 'ledger.db'), logger: pino({ enabled: false }) });

const intent = (executionId: string, provider = 'claude') =>
  store.run('executions.intent', {
    ...{ executionId, jobId: `job of ${executionId}`, attempt: 1, bootId: 'b', provider },
    at: '2026-03-01T12:00:00.000Z',
  });

/** `ok`, or the code of the error. */
const resultOf = (operation: Promise<unknown>): Promise<string> =>
  operation.then(
    () => 'ok',
    (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : 'another error'),
  );

const before = await resultOf(intent('before'));
for (let size = 1024 * 1024; size >= 1024; size /= 2) growFiller(size);
const huge = 'x'.repeat(256 * 1024);
const whileFull = await Promise.all([resultOf(intent('full-1', huge)), resultOf(intent('full-2', huge))]);
const reads = await resultOf(store.run('executions.unsettled', {}));
rmSync(filler);
const after = await Promise.all([resultOf(intent('after-1')), resultOf(intent('after-2', huge))]);
await store.close();

const again = await openStore({ file: join(dir, 'ledger.db'), logger: pino({ enabled: false }) });
const kept = (await again.run('executions.unsettled', {})).map(({ executionId }) => executionId);
await again.close();
process.stdout.write(`${JSON.stringify({ before, whileFull, reads, after, kept })}\n`);

function growFiller(bytes: number): void {
  try {
    for (;;) writeFileSync(filler, Buffer.alloc(bytes), { flag: 'a' });
  } catch {
    // Full at this size: the next is smaller.
  }
}
