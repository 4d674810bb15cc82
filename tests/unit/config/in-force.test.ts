import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { settingsInForce } from '../../../src/config/in-force.ts';
import { loadSettings } from '../../../src/config/load.ts';
import { FILE_SETTINGS, SETTINGS } from '../../../src/config/schema.ts';
import { tempDir } from '../../helpers/temp.ts';

const SECRET = 'correct horse battery staple!!!!';

function inForce(given: Readonly<Record<string, string>>, file = '') {
  const cwd = tempDir();
  writeFileSync(join(cwd, 'config.yaml'), file, { mode: 0o600 });
  const env = { HOME: cwd, BULLPEN_CONFIG: join(cwd, 'config.yaml'), ...given };
  const all = settingsInForce(loadSettings(env, cwd), env, cwd);
  return { all, named: (name: string) => all.find((one) => one.name === name) };
}

test('every setting is there, by name', () => {
  const { all } = inForce({});
  const names = all.map(({ name }) => name);
  expect(names).toEqual([...Object.keys(SETTINGS), ...Object.keys(FILE_SETTINGS)].sort());
});

test('a setting has its value and where it comes from', () => {
  const { named } = inForce({ BULLPEN_PORT: '4000', HOST: '::1' }, 'port: 5000\nkeepJobsMs: 9000\n');
  expect(named('port')).toEqual({
    ...{ name: 'port', variable: 'BULLPEN_PORT', value: 4000, source: 'environment' },
  });
  expect(named('host')).toMatchObject({ value: '::1', source: 'environment' });
  expect(named('keepJobsMs')).toMatchObject({ value: 9000, source: 'file' });
  expect(named('leaseMs')).toMatchObject({ value: 15_000, source: 'default' });
  expect(named('providers')).toMatchObject({ variable: null, source: 'default' });
});

test('what the block of limits sets comes from the file', () => {
  const { named } = inForce({ BULLPEN_TIMEOUT_MS: '5000' }, 'processLimits: { maxProcesses: 3 }');
  expect(named('concurrency')).toMatchObject({ value: 3, source: 'file' });
  expect(named('timeoutMs')).toMatchObject({ value: 5000, source: 'environment' });
});

test('no secret is in it', () => {
  const { all, named } = inForce(
    {
      ...{ JWT_SECRET: SECRET, BULLPEN_SIGNING_SECRET: SECRET, CLAUDE_SERVICE_SECRET: SECRET },
      REDIS_URL: 'redis://user:pass@127.0.0.1:6379/1',
    },
    `providers: { claude: { args: [--api-key, short, "--token=word"] } }\n`,
  );
  const text = JSON.stringify(all);
  for (const secret of [SECRET, ':pass@', 'short', '=word']) expect(text, secret).not.toContain(secret);
  expect(named('jwtSecret')).toMatchObject({ value: '[redacted]', source: 'environment' });
  expect(named('redisUrl')).toMatchObject({ value: 'redis://user:[redacted]@127.0.0.1:6379/1' });
  expect(named('providers')?.value).toMatchObject({
    claude: { args: ['--api-key', '[redacted]', '--token=[redacted]'] },
  });
});

test('a secret that is not set is null', () => {
  expect(inForce({}).named('jwtSecret')).toMatchObject({ value: null, source: 'default' });
});
