import { startPrivateTestRedis, findTestServer } from '../tests/helpers/redis-private.ts';
import { execFileSync } from 'node:child_process';
const r = await startPrivateTestRedis({});
console.log(execFileSync('script', ['-qc', `sh -c '(sleep 0.3; echo PING; sleep 0.3; echo GET x; sleep 0.2; echo quit) | script -qc "${(await findTestServer()).path.replace('redis-server','redis-cli')} -p ${r.port}" /dev/null'`, '/dev/null'], {env:{...process.env}}).toString());
await r.stop();
