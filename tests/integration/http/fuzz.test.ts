/**
 * Requests made from the OpenAPI document, right and wrong ones, with a fixed seed. They go to a
 * real server, and the ids in its answers go into the next requests.
 */
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { expect, it } from 'vitest';
import { ERROR_CODES } from '../../../src/errors.ts';
import { random } from '../../helpers/random.ts';
import { sharedServer } from '../../helpers/server.ts';
import { createGenerator, type Generator, type Schema, shareOf } from './fuzz-values.ts';

const SEED = 13;
const ROUNDS = 10;
const PATIENCE_MS = 30_000;

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}
interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header' | 'cookie';
  readonly required?: boolean;
  readonly schema: Schema;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}
interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer | null;
}
interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

const server = sharedServer(() => ({
  config: {
    providers: { custom: { echo: { binary: 'cat' }, slow: { binary: 'sleep', args: ['3'] } } },
    terminals: { enabled: true, commands: { cat: { binary: 'cat' } } },
  },
  env: { BULLPEN_LOG_LEVEL: 'warn', BULLPEN_CONCURRENCY: '3', BULLPEN_PROVIDER: 'echo' },
}));

/** Sends a request as it is: `fetch` would correct or refuse some. A stream is left at once. */
function send(url: string, { method, path, headers, body }: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const sent = request({ agent: false, hostname, port, method, path, headers, timeout: PATIENCE_MS });
    sent.once('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.once('error', reject);
    sent.once('response', async (response: IncomingMessage) => {
      const { statusCode: status = 0, headers: answered } = response;
      const type = answered['content-type'] ?? '';
      const streams = /event-stream|ndjson/.test(type);
      if (streams) response.destroy();
      const chunks: Buffer[] = [];
      if (!streams) for await (const chunk of response) chunks.push(chunk);
      resolve({ status, type, text: Buffer.concat(chunks).toString() });
    });
    sent.end(body);
  });
}

/** A request for an operation, with a few mistakes or none. */
function callOf(path: string, method: string, operation: Operation, make: Generator): Call {
  const query: string[] = [];
  const headers: OutgoingHttpHeaders = make.headers();
  let real = path;
  const all = operation.parameters ?? [];
  for (const parameter of all) {
    const { name, schema, required = false } = parameter;
    if (parameter.in === 'path') real = real.replace(`{${name}}`, make.pathPart(path));
    else if (!required && !make.chance(shareOf(all))) continue;
    else if (parameter.in === 'query') query.push(`${name}=${make.queryValue(name, schema)}`);
    else if (parameter.in === 'header') headers[name] = make.headerValue();
  }
  if (make.chance(0.05)) query.push(make.strayQuery());
  const types = Object.entries(operation.requestBody?.content ?? {});
  const [type, media] = make.one(types) ?? ['application/json', null];
  const body = media === null && make.chance(0.9) ? null : make.body(type, media?.schema ?? {});
  if (body !== null) headers['content-type'] ??= type;
  const search = query.length === 0 ? '' : `?${query.join('&')}`;
  return { method: method.toUpperCase(), path: `${real}${search}`, headers, body };
}

/** What is wrong with an answer; null: nothing. */
function fault(answer: Answer, operation: Operation): string | null {
  const { status, type, text } = answer;
  if (status >= 500 || status < 200) return `status ${status}`;
  if (status < 400) return status in operation.responses ? null : `undocumented status ${status}`;
  if (!type.startsWith('application/problem+json')) return `a refusal of the type ${type}`;
  const problem: unknown = JSON.parse(text);
  const { code, detail } = problem as Readonly<Record<string, string>>; // checked by the next line
  if (!(code !== undefined && code in ERROR_CODES) || !detail) return 'a refusal without code or detail';
  if (/^(request|auth)\./.test(code)) return null; // any route may answer these
  const { description = '' } = operation.responses[status] ?? {};
  return description.includes(`\`${code}\``) ? null : `undocumented refusal ${code}`;
}

it('answers every request of the fuzz without a 5xx, as the document says', async () => {
  const { api, url, token, workspace, log } = server();
  const document = await (await api('GET', '/openapi.json')).json();
  const { paths, components } = document as Document; // tested in tests/unit/http/openapi.test.ts
  const make = createGenerator(random(SEED), {
    named: components.schemas,
    fields: { provider: ['echo', 'slow'], token: [token], cwd: [workspace] },
  });
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  );
  const faults: unknown[] = [];
  const accepted = new Set<string>();
  const ask = async (path: string, operation: Operation, call: Call): Promise<void> => {
    const headers = { authorization: `Bearer ${token}`, ...call.headers };
    const answer = await send(url, { ...call, headers }).catch((error: Error) => error);
    const wrong = answer instanceof Error ? answer.message : fault(answer, operation);
    if (wrong !== null) faults.push({ wrong, ...call, body: call.body?.toString().slice(0, 2000), answer });
    if (answer instanceof Error || answer.status >= 400) return;
    accepted.add(operation.operationId);
    make.learn(path, answer.text);
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    // Its fields depend on each other, which the document cannot say: a request that fits is rare.
    const opened = await api('POST', '/v1/sessions', { kind: 'terminal', command: 'cat' });
    make.learn('/v1/sessions', await opened.text());
    const calls = operations.map(({ path, method, operation }) => ({
      path,
      operation,
      call: callOf(path, method, operation, make),
    }));
    await Promise.all(calls.map(({ path, operation, call }) => ask(path, operation, call)));
  }
  const failures = log()
    .split('\n')
    .filter((line) => line.includes('request failed'));
  expect({ faults, failures }).toEqual({ faults: [], failures: [] });
  // So the requests are not all refused at the door.
  expect(accepted.size).toBeGreaterThan(operations.length * 0.8);
  expect((await api('GET', '/health')).status).toBe(200);
});
