import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadSettings } from '../../src/config/load.ts';
import {
  all,
  environmentOf,
  filled,
  healthCheckOf,
  lastOf,
  ofStage,
  ROOT,
  read,
  readCompose,
  type Service,
  stages,
} from '../helpers/containers.ts';
import { tempDir } from '../helpers/temp.ts';

/**
 * What the image and the compose file promise, as far as their text can show it without an engine.
 */

const IMAGES = [
  ['server', 'serve', '3000', 'BULLPEN_HOST'],
  ['executor', 'executor', '3001', 'CLAUDE_SERVICE_HOST'],
] as const;
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
    const commands = ['npm ci --ignore-scripts', 'npm run build', 'npm ci --omit=dev --ignore-scripts'];
    expect(all('RUN')).toEqual(expect.arrayContaining(commands));
    expect(all('COPY')).toContain('--from=dependencies /app/node_modules ./node_modules');
  });

  test('copies from stages that exist', () => {
    const used = all('COPY').flatMap((rest) => /^--from=(\S+)/.exec(rest)?.[1] ?? []);
    expect([...stages.keys()]).toEqual(expect.arrayContaining(used));
  });

  test('makes the server where no target is named', () => {
    expect([...stages.keys()].at(-1)).toBe('server');
  });

  test.each(IMAGES)('the image of the %s runs as node, on Node 24', (stage) => {
    expect(lastOf(stage, 'USER')).toBe('node');
    expect(all('ARG')).toContain('NODE_IMAGE=node:24-bookworm-slim');
    expect(lastOf(stage, 'STOPSIGNAL')).toBe('SIGTERM');
  });

  test.each(IMAGES)('the image of the %s starts the command %s of the package', (stage, command) => {
    const { bin } = JSON.parse(read('package.json'));
    expect(JSON.parse(lastOf(stage, 'ENTRYPOINT'))).toEqual(['node', bin.bullpen, command]);
    expect(ofStage(stage, 'COPY')).toContain(`--from=build /app/${bin.bullpen} ./${bin.bullpen}`);
  });

  test.each(IMAGES)(
    'the image of the %s (%s) listens on all addresses, on port %s',
    (stage, _, port, host) => {
      expect(ofStage(stage, 'EXPOSE')).toEqual([port]);
      expect(ofStage(stage, 'ENV').join(' ')).toContain(`${host}=0.0.0.0`);
    },
  );

  test.each(IMAGES)('the server and the executor share all but their address (%s)', (stage) => {
    const own = (stages.get(stage) ?? []).map(({ name }) => name);
    expect(own).toEqual(['FROM', 'ENV', 'EXPOSE', 'HEALTHCHECK', 'ENTRYPOINT']);
  });

  test('no image holds a Redis', () => {
    expect(all('RUN').join('\n')).not.toContain('redis');
    expect(all('FROM').join('\n')).not.toContain('redis');
  });

  test('holds the claude version the tests run with', () => {
    const version = JSON.parse(read('package.json')).devDependencies['@anthropic-ai/claude-code'];
    expect(all('ARG')).toContain(`CLAUDE_CODE_VERSION=${version}`);
  });

  test.each(IMAGES)(
    'the image of the %s keeps data and workspace on volumes, and asks its health',
    (stage) => {
      expect(JSON.parse(lastOf(stage, 'VOLUME'))).toEqual(['/data', '/workspace']);
      expect(lastOf(stage, 'HEALTHCHECK')).toContain('/health');
    },
  );

  test('puts no secret into the image', () => {
    expect([...all('ENV'), ...all('ARG')].join('\n')).not.toMatch(/(KEY|TOKEN|SECRET|PASSWORD)=/);
  });
});

describe('docker-compose.yml', () => {
  const { services, volumes, networks, secrets } = readCompose();
  const { redis, bullpen, executor } = services;

  test('gives Redis a synced append-only file, no eviction and a volume', () => {
    expect(redis.image).toMatch(/^redis:8-/);
    expect(redis.command.join(' ')).toContain('--appendonly yes --appendfsync always');
    expect(redis.command.join(' ')).toContain('--maxmemory-policy noeviction');
    expect(redis.volumes).toEqual(['redis-data:/data']);
  });

  test('publishes no Redis, and gives it no way out', () => {
    expect(redis.ports).toBeUndefined();
    expect(redis.networks.map((name: string) => networks[name]?.internal)).toEqual([true]);
  });

  test('starts the server when Redis is healthy', () => {
    expect(redis.healthcheck.test.join(' ')).toContain('redis-cli ping');
    expect(bullpen.depends_on['redis']).toEqual({ condition: 'service_healthy' });
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
    expect(loadSettings(environmentOf(bullpen, {}), tempDir()).executor).toBe('local');
  });

  test('mounts declared volumes where the image expects them', () => {
    const mounts: string[] = [...redis.volumes, ...bullpen.volumes, ...executor.volumes];
    const names = new Set(mounts.map((mount) => filled(mount, {}).split(':')[0]));
    expect(Object.keys(volumes).sort()).toEqual([...names].sort());
    for (const { volumes: own } of [bullpen, executor])
      expect(own.map((mount: string) => mount.split(':').at(-1))).toEqual(['/data', '/workspace']);
  });

  test.each(['redis', 'bullpen', 'executor'] as const)(
    'takes every right from %s that it does not need',
    (name) => {
      expect(services[name]).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
      expect(services[name].privileged).toBeUndefined();
      expect(services[name].user ?? lastOf(services[name].build.target, 'USER')).not.toMatch(/^(root|0)/);
    },
  );

  test('reaps orphans and leaves time to drain', () => {
    for (const { init, stop_grace_period } of [bullpen, executor])
      expect({ init, stop_grace_period }).toEqual({ init: true, stop_grace_period: '60s' });
  });

  test('holds no secret, only the names of those it passes on', () => {
    for (const { environment } of [bullpen, executor])
      for (const [name, value] of Object.entries(environment)) {
        if (/KEY|TOKEN/.test(name)) expect(value, name).toBeNull();
      }
    expect(read('docker-compose.yml')).not.toMatch(/CLAUDE_SERVICE_SECRET:/);
  });

  describe('with the profile executor', () => {
    const MOUNTED = '/run/secrets/executor';
    const shell = { CLAUDE_SERVICE_SECRET_FILE: './executor-secret', ARCH_MODE: 'modular' };

    test('starts the executor from its target, and only then', () => {
      expect(executor.profiles).toEqual(['executor']);
      expect(executor.build).toEqual({ context: '.', target: 'executor' });
      expect(stages.has(executor.build.target)).toBe(true);
      expect(bullpen.build).toEqual({ context: '.', target: 'server' });
      expect(bullpen.profiles).toBeUndefined();
    });

    test('starts the server when the executor is healthy, if there is one', () => {
      expect(bullpen.depends_on['executor']).toEqual({ condition: 'service_healthy', required: false });
    });

    test('asks the health of the executor as its image does', () => {
      const [kind, ...command] = executor.healthcheck.test;
      expect(kind).toBe('CMD');
      expect(command.map((part) => filled(part, {}))).toEqual(healthCheckOf('executor'));
      expect(executor.healthcheck).toMatchObject({ interval: '5s', timeout: '5s', retries: 12 });
    });

    test('bounds its memory', () => {
      const { limits, reservations } = executor.deploy.resources;
      expect(filled(limits.memory, {})).toBe('512M');
      expect(reservations.memory).toBe('256M');
    });

    test('gives it no way to Redis, and publishes no port of it', () => {
      const ofRedis = new Set(redis.networks);
      expect(executor.networks.filter((name: string) => ofRedis.has(name))).toEqual([]);
      expect(executor.networks.some((name: string) => bullpen.networks.includes(name))).toBe(true);
      expect(executor.ports).toBeUndefined();
      expect(JSON.stringify(executor.environment)).not.toContain('REDIS');
      expect(executor.volumes).not.toContain('bullpen-data:/data');
    });

    test('works in the folder of the server', () => {
      expect(executor.volumes[1]).toBe(bullpen.volumes[1]);
      expect(executor.environment['BULLPEN_CWD']).toBe(bullpen.environment['BULLPEN_CWD']);
    });

    test('mounts the secret as a file on both sides', () => {
      expect(filled(secrets.executor.file, shell)).toBe(shell.CLAUDE_SERVICE_SECRET_FILE);
      expect(filled(secrets.executor.file, {})).toBe('/dev/null'); // without the profile, it need not exist
      for (const service of [bullpen, executor]) {
        expect(service.secrets).toEqual(['executor']);
        expect(environmentOf(service, shell)['CLAUDE_SERVICE_SECRET_FILE']).toBe(MOUNTED);
        expect(environmentOf(service, {})['CLAUDE_SERVICE_SECRET_FILE']).toBe('');
      }
    });

    test('has settings with which both may start, once there is a secret', () => {
      const secret = join(tempDir(), 'secret');
      writeFileSync(secret, '0123456789abcdef0123456789abcdef\n', { mode: 0o600 });
      const start = (service: Service, program: 'server' | 'executor') => {
        const env = environmentOf(service, shell);
        return loadSettings({ ...env, CLAUDE_SERVICE_SECRET_FILE: secret }, tempDir(), program);
      };
      expect(start(bullpen, 'server')).toMatchObject({
        executor: 'http',
        serviceUrl: 'http://executor:3001',
      });
      expect(start(executor, 'executor')).toMatchObject({
        serviceHost: '0.0.0.0',
        servicePort: 3001,
        concurrency: 1,
      });
      expect(() => loadSettings(environmentOf(bullpen, { ARCH_MODE: 'modular' }), tempDir())).toThrow(
        'CLAUDE_SERVICE_SECRET',
      );
      expect(() => loadSettings(environmentOf(executor, {}), tempDir(), 'executor')).toThrow(
        'CLAUDE_SERVICE_SECRET',
      );
    });
  });
});
