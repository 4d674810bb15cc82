import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startOfflineModel } from '../../scripts/offline-model/server.ts';
import { startServer } from '../helpers/server.ts';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** The walk-through's shell blocks, as they are written. */
function walkThrough(): string[] {
  const part = README.split('<!-- walk-through: begin -->')[1]?.split('<!-- walk-through: end -->')[0] ?? '';
  return [...part.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block ?? '');
}

describe('the README', () => {
  it('has a walk-through that does what it says, block by block', async () => {
    const model = await startOfflineModel();
    onTestFinished(() => model.stop());
    const server = await startServer({
      env: { ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'offline' },
    });
    const blocks = walkThrough();
    expect(blocks.length).toBeGreaterThanOrEqual(5);
    const script = blocks.map((block, index) => `echo "=== ${index}"\n${block}`).join('\n');
    const { stdout } = await promisify(execFile)('bash', ['-c', `set -eu\n${script}`], {
      env: { PATH: process.env['PATH'] ?? '', BULLPEN_URL: server.url, BULLPEN_TOKEN: server.token },
      timeout: 90_000,
    });
    const [, , plain = '', , watched = '', rest = ''] = stdout.split(/=== \d+\n/);
    expect(plain).toContain('offline model');
    expect(watched).toContain('event: job.finished');
    expect(watched).toMatch(/^\{"seq":4,/m); // resumed after 3, as NDJSON
    expect(rest).toContain('"status":"succeeded"');
    expect(rest).toContain('"nextCursor":null');
    expect(rest).toContain('"job.already_finished"');
    expect(rest).toContain('"name":"claude"');
  });
});
