import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadSettings } from '../../src/config/load.ts';
import { tempDir } from '../helpers/temp.ts';

/**
 * What the image and the compose file promise, as far as their text can show it without an engine.
 */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

function parseDockerfile(text: string): Instruction[] {
  return text
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line.trim()) ?? [];
      return { name, rest };
    });
}

const instructions = parseDockerfile(read('Dockerfile'));
const all = (name: string) => instructions.filter((line) => line.name === name).map((line) => line.rest);
const last = (name: string) => all(name).at(-1) ?? '';
const contextSources = all('COPY')
  .filter((rest) => !rest.startsWith('--from='))
  .flatMap((rest) => rest.split(/\s+/).slice(0, -1));

describe('Dockerfile', () => {
  test('copies only what is in the tree', () => {
    expect(contextSources.length).toBeGreaterThan(0);
    for (const source of contextSources) {
      expect(globSync(source, { cwd: ROOT }), source).not.toEqual([]);
    }
  });

  test('copies only what .dockerignore lets into the build context', () => {
    const ignore = read('.dockerignore').split('\n');
    expect(ignore.find((line) => line !== '' && !line.startsWith('#'))).toBe('*');
    for (const source of contextSources) expect(ignore, source).toContain(`!${source}`);
    expect(ignore).toEqual(expect.arrayContaining(['**/node_modules', '**/.git', '**/.env', '**/.env.*']));
  });

  test('builds from the lock file and ships production dependencies only', () => {
    expect(all('RUN')).toEqual(expect.arrayContaining(['npm ci', 'npm run build', 'npm ci --omit=dev']));
    expect(all('COPY')).toContain('--from=dependencies /app/node_modules ./node_modules');
  });

  test('copies from stages that exist', () => {
    const stages = all('FROM').map((rest) => rest.split(/\s+AS\s+/i)[1]);
    const used = all('COPY').flatMap((rest) => /^--from=(\S+)/.exec(rest)?.[1] ?? []);
    expect(stages).toEqual(expect.arrayContaining(used));
  });

  test('runs as node, on Node 24', () => {
    expect(last('USER')).toBe('node');
    expect(all('ARG')).toContain('NODE_IMAGE=node:24-bookworm-slim');
  });

  test('starts the command of the package', () => {
    const { bin } = JSON.parse(read('package.json'));
    expect(JSON.parse(last('ENTRYPOINT'))).toEqual(['node', bin.bullpen, 'serve']);
    expect(all('COPY')).toContain(`--from=build /app/${bin.bullpen} ./${bin.bullpen}`);
  });

  test('holds the claude version the tests run with', () => {
    const version = JSON.parse(read('package.json')).devDependencies['@anthropic-ai/claude-code'];
    expect(all('ARG')).toContain(`CLAUDE_CODE_VERSION=${version}`);
  });

  test('keeps data and workspace on volumes and asks for its health', () => {
    expect(JSON.parse(last('VOLUME'))).toEqual(['/data', '/workspace']);
    expect(last('HEALTHCHECK')).toContain('/health');
  });

  test('puts no secret into the image', () => {
    expect([...all('ENV'), ...all('ARG')].join('\n')).not.toMatch(/(KEY|TOKEN|SECRET|PASSWORD)=/);
  });
});

describe('docker-compose.yml', () => {
  const { services, volumes, networks } = parse(read('docker-compose.yml'));
  const { redis, bullpen } = services;

  test('gives Redis a synced append-only file, no eviction and a volume', () => {
    expect(redis.image).toMatch(/^redis:8-/);
    expect(redis.command.join(' ')).toContain('--appendonly yes --appendfsync always');
    expect(redis.command.join(' ')).toContain('--maxmemory-policy noeviction');
    expect(redis.volumes).toEqual(['redis-data:/data']);
  });

  test('publishes no Redis, and gives it no way out', () => {
    expect(redis.ports).toBeUndefined();
    expect(redis.networks.map((name: string) => networks[name].internal)).toEqual([true]);
  });

  test('starts the server when Redis is healthy', () => {
    expect(redis.healthcheck.test.join(' ')).toContain('redis-cli ping');
    expect(bullpen.depends_on).toEqual({ redis: { condition: 'service_healthy' } });
  });

  test('publishes the server on the loopback of the host only', () => {
    expect(bullpen.ports).toEqual(['127.0.0.1:3000:3000']);
  });

  test('points the server at its Redis and its folders', () => {
    expect(bullpen.environment).toMatchObject({
      REDIS_URL: 'redis://redis:6379',
      BULLPEN_HOME: '/data',
      BULLPEN_CWD: '/workspace',
      BULLPEN_HOST: '0.0.0.0',
    });
    expect(() => loadSettings(bullpen.environment, tempDir())).not.toThrow();
  });

  test('mounts declared volumes where the image expects them', () => {
    const mounts: string[] = [...redis.volumes, ...bullpen.volumes];
    const names = mounts.map((mount) => mount.replace(/\$\{\w+:-(\w+)\}/, '$1').split(':')[0]);
    expect(Object.keys(volumes).sort()).toEqual(names.sort());
    expect(bullpen.volumes.map((mount: string) => mount.split(':').at(-1))).toEqual(['/data', '/workspace']);
  });

  test.each(['redis', 'bullpen'])('takes every right from %s that it does not need', (name) => {
    expect(services[name]).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    });
    expect(services[name].privileged).toBeUndefined();
    expect(services[name].user ?? last('USER')).not.toMatch(/^(root|0)/);
  });

  test('reaps orphans and leaves time to drain', () => {
    expect(bullpen.init).toBe(true);
    expect(bullpen.stop_grace_period).toBe('60s');
  });

  test('holds no secret, only the names of those it passes on', () => {
    for (const [name, value] of Object.entries(bullpen.environment)) {
      if (/KEY|TOKEN/.test(name)) expect(value, name).toBeNull();
    }
  });
});
