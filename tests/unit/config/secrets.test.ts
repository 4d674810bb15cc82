import { expect, it } from 'vitest';
import { secretsOf, urlSecrets } from '../../../src/config/secrets.ts';
import { providerSettings } from '../providers/settings.ts';

const NO_SETTINGS = {
  ...{ redisUrl: null, workerRedisUrl: null, jwtSecret: null, signingSecret: null, serviceSecrets: [] },
  providers: providerSettings(),
};

it.each([
  'ANTHROPIC_API_KEY',
  'ANTHROPIC_AUTH_TOKEN',
  'AWS_ACCESS_KEY_ID',
  'AWS_BEARER_TOKEN_BEDROCK',
  'AWS_SECRET_ACCESS_KEY',
  'CLAUDE_CODE_OAUTH_TOKEN',
  'GITHUB_TOKEN',
  'CLAUDE_SERVICE_SECRET',
  'HMAC_SECRET',
  'JWT_SECRET',
  'MYSQL_PWD',
  'PGPASSWORD',
  'REDIS_PASSWORD',
  'npm_config__auth',
])('the value of the variable %s is a secret', (name) => {
  expect(secretsOf(NO_SETTINGS, { [name]: 'the value' })).toEqual(['the value']);
});

it.each([
  'CLAUDE_CODE_MAX_OUTPUT_TOKENS',
  'CLAUDE_SERVICE_SECRET_FILE',
  'GIT_ASKPASS',
  'GOOGLE_APPLICATION_CREDENTIALS',
  'HOME',
  'KEYBOARD',
  'PWD',
  'SSH_AUTH_SOCK',
  'SSL_KEY_FILE',
  'XAUTHORITY',
])('the value of the variable %s is not', (name) => {
  expect(secretsOf(NO_SETTINGS, { [name]: 'the value', UNSET_TOKEN: undefined })).toEqual([]);
});

it('a secret is the value of a header in a variable', () => {
  const secrets = (name: string, value: string) => secretsOf(NO_SETTINGS, { [name]: value });
  const lines = 'X-Auth: first\nAuthorization: Bearer second\n';
  expect(secrets('ANTHROPIC_CUSTOM_HEADERS', lines)).toEqual(['first', 'second']);
  expect(secrets('OTEL_EXPORTER_OTLP_HEADERS', 'key=first,other=second')).toEqual(['first', 'second']);
});

it('a secret is the password of a URL in a variable or a setting, as it is written and decoded', () => {
  const env = {
    HTTPS_PROXY: 'http://me:pass%2Fword@proxy:3128',
    NO_PASSWORD: 'http://me@host',
    PLAIN: 'a:b@c',
  };
  expect(secretsOf(NO_SETTINGS, { HTTPS_PROXY: env.HTTPS_PROXY, PLAIN: env.PLAIN })).toEqual([
    'pass%2Fword',
    'pass/word',
  ]);
  const urls = { redisUrl: 'redis://:first@host', workerRedisUrl: 'rediss://user:second@host:1/0' };
  expect(secretsOf({ ...NO_SETTINGS, ...urls }, {})).toEqual(['first', 'first', 'second', 'second']);
  expect(urlSecrets('redis://me:%zz@host')).toEqual(['%zz']);
  expect(urlSecrets('https://host/path?a=b:c@d')).toEqual([]);
});

it('a secret is the one of JWTs, of records or of the executor, also in a file', () => {
  const secrets = { jwtSecret: 'of JWTs', signingSecret: 'of records', serviceSecrets: ['new', 'old'] };
  expect(secretsOf({ ...NO_SETTINGS, ...secrets }, {})).toEqual(['of JWTs', 'of records', 'new', 'old']);
});

it('a secret is an argument of a provider with a name of one', () => {
  const providers = providerSettings({
    claude: { args: ['--api-key=first', '--mcp-config', '/etc/mcp.json', '--key-file=/etc/key'] },
    custom: { own: { binary: 'own', args: ['--auth-token', 'second', '--to=https://me:third@host', 'x'] } },
  });
  expect(secretsOf({ ...NO_SETTINGS, providers }, {})).toEqual(['first', 'second', 'third', 'third']);
});
