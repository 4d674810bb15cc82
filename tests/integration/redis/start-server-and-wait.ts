/**
 * Run as a process of its own: starts a private Redis in the folder given, prints it, and waits to
 * be killed.
 */
import { startPrivateRedis } from '../../../src/redis/private/private-server.ts';
import { findTestServer } from '../../helpers/redis-private.ts';

const [dir = ''] = process.argv.slice(2);
const { pid, port } = await startPrivateRedis({
  dir,
  binary: await findTestServer(),
  requestChannel: 'requests',
  responseChannel: 'responses',
});
console.log(JSON.stringify({ pid, port }));
