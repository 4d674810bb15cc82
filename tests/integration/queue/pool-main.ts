/**
 * A main process of its own with a worker pool and nothing else: `node pool-main.ts <redis url>
 * <concurrency> <processor>`.
 */
import { pino } from 'pino';
import { createWorkerPool } from '../../../src/queue/worker-pool.ts';
import { createNames } from '../../../src/redis/names.ts';

const [redisUrl = '', concurrency = '1', processor = ''] = process.argv.slice(2);
const settings = {
  redisUrl,
  prefix: 'bullpen',
  requestChannel: 'requests',
  responseChannel: 'responses',
  keepInRedisMs: 60_000,
  logLevel: 'fatal',
} as const;
const pool = createWorkerPool({
  settings,
  redisUrl,
  names: createNames(settings),
  concurrency: Number(concurrency),
  lockMs: 60_000,
  logger: pino({ level: 'fatal' }),
  processor: new URL(`../../fakes/${processor}.worker.ts`, import.meta.url),
});
process.once('SIGTERM', async () => {
  await pool.stop();
  process.disconnect();
});
await pool.start();
process.send?.({ ready: true });
