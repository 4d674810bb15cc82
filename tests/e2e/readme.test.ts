import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startOfflineModel } from '../../scripts/offline-model/server.ts';
import { startServer } from '../helpers/server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOCS = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => readFileSync(join(ROOT, 'docs', name), 'utf8'));
const manifest: { version: string } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** The walk-through's shell blocks, as they are written. */
function walkThrough(): string[] {
  const part = README.split('<!-- walk-through: begin -->')[1]?.split('<!-- walk-through: end -->')[0] ?? '';
  return [...part.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block ?? '');
}

describe('the README', () => {
  it('says how to get the command from a clone, and that works from any folder', async () => {
    const line = /^alias bullpen=.*$/m.exec(README)?.[0] ?? expect.unreachable();
    const script = `shopt -s expand_aliases\n${line}\ncd /\nbullpen --version`;
    const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd: ROOT, timeout: 90_000 });
    expect(stdout).toBe(`${manifest.version}\n`);
    expect(README).toContain(`./agent-bullpen-${manifest.version}.tgz`);
    // The npm package of that name is another project.
    const mentions = [README, ...DOCS].flatMap((text) => text.match(/.*npx bullpen.*/g) ?? []);
    expect(mentions).toEqual([expect.stringContaining('would run something else')]);
  });

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
