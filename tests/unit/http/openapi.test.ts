import { expect, test } from 'vitest';
import type { TSchema } from '#typebox';
import { Compile } from '#typebox/compile';
import { asAdmin, startHttp } from './harness.ts';

const ROUTES = {
  '/': ['get'],
  '/health': ['get'],
  '/ready': ['get'],
  '/claude-cli/health': ['get'],
  '/metrics': ['get'],
  '/openapi.json': ['get'],
  '/login': ['post'],
  '/logout': ['post'],
  '/v1/jobs': ['get', 'post'],
  '/v1/jobs/{id}': ['delete', 'get', 'patch'],
  '/v1/jobs/{id}/executions': ['get'],
  '/v1/jobs/cancel': ['post'],
  '/v1/jobs/retry': ['post'],
  '/v1/jobs/{id}/cancel': ['post'],
  '/v1/jobs/{id}/retry': ['post'],
  '/v1/events': ['get'],
  '/v1/jobs/{id}/events': ['get'],
  '/v1/audit': ['get'],
  '/v1/audit/verification': ['get'],
  '/v1/batches': ['get', 'post'],
  '/v1/batches/{id}': ['get'],
  '/v1/batches/{id}/cancel': ['post'],
  '/v1/batches/{id}/events': ['get'],
  '/v1/batches/{id}/results': ['get'],
  '/v1/jobs/{id}/messages': ['post'],
  '/v1/sessions': ['get', 'post'],
  '/v1/sessions/{id}': ['delete', 'get'],
  '/v1/sessions/{id}/messages': ['post'],
  '/v1/sessions/{id}/turns': ['get'],
  '/v1/sessions/{id}/history': ['get'],
  '/v1/sessions/{id}/input': ['post'],
  '/v1/sessions/{id}/interrupt': ['post'],
  '/v1/sessions/{id}/recording': ['get'],
  '/v1/sessions/{id}/resize': ['post'],
  '/v1/sessions/{id}/screen': ['get'],
  '/v1/sessions/{id}/signal': ['post'],
  '/v1/sessions/{id}/fork': ['post'],
  '/v1/sessions/{id}/close': ['post'],
  '/v1/sessions/{id}/events': ['get'],
  '/v1/approvals': ['get'],
  '/v1/approvals/{id}': ['get'],
  '/v1/approvals/{id}/decide': ['post'],
  '/v1/processes': ['get'],
  '/v1/processes/{id}': ['get'],
  '/v1/processes/{id}/terminate': ['post'],
  '/v1/providers/{name}/cleanup': ['post'],
  '/v1/providers/{name}/resume': ['post'],
  '/v1/queue': ['get'],
  '/v1/queue/pause': ['post'],
  '/v1/queue/resume': ['post'],
  '/v1/nodes': ['get'],
  '/v1/nodes/{id}/drain': ['post'],
  '/v1/nodes/{id}/resume': ['post'],
  '/v1/keys': ['get', 'post'],
  '/v1/keys/{id}/revoke': ['post'],
  '/v1/keys/{id}/rotate': ['post'],
  '/v1/me': ['get'],
  '/v1/me/preferences': ['get', 'put'],
  '/v1/usage': ['get'],
  '/v1/providers': ['get'],
  '/v1/login-links': ['post'],
  '/v1/settings': ['get'],
  '/v1/stream-tokens': ['post'],
};
const OPEN = ['/', '/health', '/ready', '/claude-cli/health', '/login', '/logout'];

async function document() {
  await using http = await startHttp();
  const answer = await http.app.inject({ url: '/openapi.json', headers: asAdmin });
  expect(answer.statusCode).toBe(200);
  return answer.json();
}

test('the document is OpenAPI 3.1 and holds every route', async () => {
  const { openapi, info, paths } = await document();
  expect([openapi, info.title, info.version]).toEqual(['3.1.0', 'Bullpen', '1.2.3']);
  const found = Object.fromEntries(
    Object.entries<object>(paths).map(([path, item]) => [path, Object.keys(item).sort()]),
  );
  expect(found).toEqual(ROUTES);
});

test('every route has a name of its own', async () => {
  const { paths } = await document();
  const operations = Object.values<Record<string, Operation>>(paths).flatMap((item) => Object.values(item));
  const names = operations.map(({ operationId }) => operationId);
  for (const name of names) expect(name).toMatch(/^[a-z][A-Za-z]+$/);
  expect(new Set(names).size).toBe(names.length);
});

test('every route has a summary, its security and its answers, including errors', async () => {
  const { paths, tags: described } = await document();
  const known = described.map(({ name }: { name: string }) => name);
  for (const [path, item] of Object.entries<Record<string, Operation>>(paths)) {
    for (const [method, { summary, tags, security, responses }] of Object.entries(item)) {
      const name = `${method} ${path}`;
      expect(summary, name).toEqual(expect.any(String));
      expect(tags, name).toHaveLength(1);
      expect(known, name).toContain(tags?.[0]);
      expect(security.length === 0, name).toBe(OPEN.includes(path));
      for (const [status, { description, content }] of Object.entries(responses)) {
        expect(description, `${name} ${status}`).not.toBe('Default Response');
        if (Number(status) >= 400 && status !== '503') {
          expect(content, `${name} ${status}`).toEqual({ 'application/problem+json': { schema: PROBLEM } });
        }
      }
      if (security.length > 0 && path !== '/openapi.json') expect(responses, name).toHaveProperty('401');
    }
  }
});

test('the example request of the document is accepted', async () => {
  const { paths, components } = await document();
  const parameters = Object.values<Record<string, Operation>>(paths).flatMap((item) =>
    Object.values(item).flatMap((operation) => operation.parameters ?? []),
  );
  expect(parameters.length).toBeGreaterThan(20);
  expect(parameters.filter(({ schema }) => schema.type === 'object')).toEqual([]);

  const examples = {
    '/v1/jobs': components.schemas.PromptRequest.examples,
    '/v1/batches': [paths['/v1/batches'].post.requestBody.content['application/json'].example],
  };
  await using http = await startHttp();
  for (const [url, [payload = {}]] of Object.entries<object[]>(examples)) {
    const answer = await http.app.inject({ method: 'POST', url, headers: asAdmin, payload });
    expect(answer.statusCode, url).toBe(202);
  }
});

test('every operation has an example of its body and of each answer, as its schema asks', async () => {
  const { paths, components } = await document();
  const schemas: Record<string, TSchema> = components.schemas;
  const named = Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [`#/components/schemas/${name}`, schema]),
  );
  const missing: string[] = [];
  for (const item of Object.values<Record<string, Operation>>(paths)) {
    for (const { operationId, requestBody, responses } of Object.values(item)) {
      const good = Object.entries(responses).filter(([status]) => Number(status) < 300);
      const bodies = [['body', requestBody] as const, ...good];
      for (const [what, body] of bodies) {
        for (const [type, { schema, example, examples = {} }] of Object.entries(body?.content ?? {})) {
          const target: Media['schema'] = named[schema.$ref ?? ''] ?? schema;
          const [first = Object.values(examples)[0]?.value] = target.examples ?? [example];
          if (first === undefined) missing.push(`${operationId} ${what} ${type}`);
          else expect(Compile(named, schema).Errors(first), `${operationId} ${what}`).toEqual([]);
        }
      }
    }
  }
  expect(missing).toEqual([]);
});

test('every reference has a target', async () => {
  const whole = await document();
  const references = JSON.stringify(whole).match(/"\$ref":"[^"]+"/g) ?? [];
  expect(references.length).toBeGreaterThan(10);
  for (const reference of new Set(references)) {
    const [, name = ''] = /^"\$ref":"#\/components\/schemas\/(\w+)"$/.exec(reference) ?? [];
    expect(whole.components.schemas, reference).toHaveProperty(name);
  }
  expect(Object.keys(whole.components.schemas).sort()).toEqual([
    'BatchPrompt',
    'Job',
    'JobListItem',
    'Problem',
    'PromptRequest',
  ]);
});

test('a prompt may be sent as JSON and as text', async () => {
  const { paths } = await document();
  const { requestBody, parameters } = paths['/v1/jobs'].post;
  expect(Object.keys(requestBody.content)).toEqual(['application/json', 'text/plain']);
  expect(parameters.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(['wait', 'maxTurns', 'idempotency-key']),
  );
});

test('the page loads nothing from other hosts', async () => {
  await using http = await startHttp();
  const page = await http.app.inject({ url: '/docs', headers: asAdmin });
  expect(page.statusCode).toBe(200);
  expect(page.headers['content-security-policy']).toContain("default-src 'self'");
  expect(page.body).not.toMatch(/(src|href)="https?:/);
  for (const [, path = ''] of page.body.matchAll(/(?:src|href)="([^"]+)"/g)) {
    expect((await http.app.inject({ url: path, headers: asAdmin })).statusCode, path).toBe(200);
  }
});

test('every error code is on the errors page', async () => {
  await using http = await startHttp();
  const problem = (await http.app.inject({ url: '/missing' })).json();
  const page = await http.app.inject({ url: problem.type, headers: { ...asAdmin, accept: 'text/html' } });
  expect(page.statusCode).toBe(200);
  expect(page.body).toContain(`id="${problem.code}"`);
});

interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security: readonly object[];
  readonly parameters?: readonly { readonly schema: { readonly type?: string } }[];
  readonly requestBody?: Body;
  readonly responses: Record<string, Body & { readonly description: string }>;
}
interface Body {
  readonly content?: Readonly<Record<string, Media>>;
}
interface Media {
  readonly schema: TSchema & { readonly $ref?: string; readonly examples?: readonly unknown[] };
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}
const PROBLEM = { $ref: '#/components/schemas/Problem' };
