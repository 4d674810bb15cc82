/** Attacks on requests that no other test makes; tests/attacks.test.ts has the list of all. */

import { expect, test } from 'vitest';
import type { TSchema } from '#typebox';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { asAdmin, startHttp } from './harness.ts';

const FOREIGN = [
  // Whose it is, and how the queue treats it.
  ...['userId', 'user', 'role', 'admin', 'scopes', 'principal', 'project', 'grant', 'signature', 'id'],
  ...['jobId', 'attempts', 'attemptsMade', 'delay', 'repeat', 'parent', 'opts', 'status', 'outcome', 'node'],
  // How its process is started.
  ...['args', 'extraArgs', 'shell', 'env', 'environment', 'executable', 'binary', 'command', 'stdin', 'uid'],
  ...['mcpConfig', 'mcp-config', 'settings', 'pluginDir', 'addDir', 'config', 'dangerouslySkipPermissions'],
  ...['parameters', 'hooks', 'agents', 'apiKey', 'baseUrl', 'proxy', 'umask', 'detached', 'timeout'],
];

const KNOWN = ['/v1/keys project', '/v1/sessions command'];

test('no field of a body says who made a job, or what is started for it', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const { session } = await http.sessions.create(ADMIN_PRINCIPAL, {}, null);
  const approval = http.approvals.add();
  for (const name of FOREIGN)
    for (const [method, url, rest] of [
      ['POST', '/v1/jobs', { prompt: 'x' }],
      ['POST', `/v1/jobs/${id}/retry`, {}],
      ['PATCH', `/v1/jobs/${id}`, { tags: [] }],
      ['POST', '/v1/keys', { name: 'x', scopes: ['jobs:read'] }],
      ['POST', '/v1/stream-tokens', { jobId: id }],
      ['POST', '/v1/sessions', {}],
      ['POST', `/v1/sessions/${session.id}/messages`, { prompt: 'x' }],
      ['POST', `/v1/sessions/${session.id}/fork`, {}],
      ['POST', `/v1/approvals/${approval.id}/decide`, { decision: 'deny' }],
    ] as const) {
      // `command` of a session is a name in the settings, never a program.
      if (name in rest || KNOWN.includes(`${url} ${name}`)) continue;
      const payload = { ...rest, [name]: name === 'attempts' ? 9 : 'x' };
      const answer = await http.app.inject({ method, url, headers: asAdmin, payload });
      expect([answer.statusCode, answer.json().code], `${url} ${name}`).toEqual([400, 'request.invalid']);
    }
  const payload = { prompts: FOREIGN.map((name) => ({ prompt: 'x', [name]: 'x' })) };
  const batch = await http.app.inject({ method: 'POST', url: '/v1/batches', headers: asAdmin, payload });
  const codes = batch.json().items.map(({ error }: { error?: { code: string } }) => error?.code);
  expect(new Set(codes)).toEqual(new Set(['request.invalid']));
});

/** Every pattern in a schema. */
function patternsIn(schema: unknown): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([name, value]) => {
    if (name === 'pattern' && typeof value === 'string') return [value];
    return patternsIn(value);
  });
}

test('no pattern of the API takes long, whatever the text', async () => {
  await using http = await startHttp();
  const document = (await http.app.inject({ url: '/openapi.json', headers: asAdmin })).json();
  const patterns = new Set(patternsIn(document));
  expect(patterns.size).toBeGreaterThan(5);
  const length = 30_000;
  const texts = [
    'a',
    'A',
    '0',
    '-',
    '.',
    ' ',
    '(',
    'a.',
    'a-',
    'a(',
    '*',
    'a*',
    '0-',
    '\\',
    '/',
    '\u00e9',
  ].flatMap((part) => ['', '\u0000', '!', ')', '\n'].map((end) => part.repeat(length) + end));
  for (const pattern of patterns) {
    const expression = new RegExp(pattern, 'u');
    const before = process.cpuUsage();
    for (const text of [...texts, ...texts.map((text) => `a${text}`)]) expression.test(text);
    const { user, system } = process.cpuUsage(before);
    // 160 texts. A pattern whose work grows with the square of the text takes many seconds.
    expect((user + system) / 1000, pattern).toBeLessThan(1600);
  }
});

test('what a request brings into the log is one line of JSON', async () => {
  await using http = await startHttp();
  http.jobs.get = () => Promise.reject(new Error('first\r\n{"level":60,"msg":"second"}\u001b[31m'));
  const { id } = await http.make();
  for (const headers of [
    { ...asAdmin, 'user-agent': '\u001b]0;x\u0007{"level":60}', 'x-request-id': 'a"},{"level":60' },
    { ...asAdmin, referer: 'http://x/%0d%0a%1b[2J' },
  ])
    await http.app.inject({ url: `/v1/jobs/${id}?%0d%0a%1b[31m`, headers });
  await http.app.inject({ url: `/v1/jobs/${id}`, headers: asAdmin });
  await http.app.inject({ url: '/%1b%5B31m%0a/x?a=%0a', headers: asAdmin });
  expect(http.log.join('')).toContain('first');
  for (const line of http.log) {
    expect(line.trimEnd()).not.toMatch(/[\r\n\u001b\u0007]/);
    expect(JSON.parse(line)).toMatchObject({ level: expect.any(Number) });
  }
});

test('a schema of a body takes no field that it does not name', async () => {
  await using http = await startHttp();
  const { paths, components } = (await http.app.inject({ url: '/openapi.json', headers: asAdmin })).json();
  const named: Record<string, TSchema> = components.schemas;
  const open: string[] = [];
  for (const [path, item] of Object.entries<Record<string, Body>>(paths))
    for (const [method, { requestBody }] of Object.entries(item))
      for (const { schema } of Object.values(requestBody?.content ?? {})) {
        const target: Media = named[String(schema.$ref).split('/').at(-1) ?? ''] ?? schema;
        if (target.type === 'object' && target.additionalProperties !== false) open.push(`${method} ${path}`);
      }
  expect(open).toEqual(['put /v1/me/preferences']); // the server reads nothing in it
});

type Media = TSchema & {
  readonly $ref?: string;
  readonly type?: string;
  readonly additionalProperties?: unknown;
};
interface Body {
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Media }>> };
}
