import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startServer } from '../helpers/server.ts';

const BIN = fileURLToPath(new URL('../../src/bin.js', import.meta.url));
const PAGE = readFileSync(new URL('../../docs/retry.md', import.meta.url), 'utf8');
/** Answers with its prompt after a second, long after the timeout of row 2. */
const SLOW = { binary: 'sh', args: ['-c', 'sleep 1; cat'] };

it('docs/retry.md does what it says, block by block', async () => {
  const server = await startServer({ config: { provider: 'slow', providers: { custom: { slow: SLOW } } } });
  const blocks = [...PAGE.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block ?? '');
  expect(blocks).toHaveLength(4);
  const script = [`bullpen() { '${process.execPath}' '${BIN}' "$@"; }`, 'set -eu'];
  for (const [index, block] of blocks.entries()) script.push(`echo "=== ${index}"`, block);
  const { stdout } = await promisify(execFile)('bash', ['-c', script.join('\n')], {
    cwd: server.workspace,
    env: { PATH: process.env['PATH'] ?? '', BULLPEN_URL: server.url, BULLPEN_TOKEN: server.token },
    timeout: 90_000,
  });
  const [, made = '', results = '', retried = '', both = ''] = stdout.split(/=== \d+\n/);
  expect(made).toContain('some failed');
  expect(results).toContain('{"customId":"row-1","status":"succeeded","error":null}');
  expect(results).toContain('{"customId":"row-2","status":"failed","error":"execution.timed_out"}');
  expect(retried).toBe('some failed again\n');
  expect(JSON.parse(both)).toEqual({ 'row-1': 'succeeded', 'row-2': 'failed' });
});
