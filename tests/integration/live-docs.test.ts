/**
 * Each example of docs/live.md is sent to a real server, and answered as the page says. A client in
 * another language is written from that page alone.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connect, TRANSPORTS } from '../../scripts/live-storm/connection.ts';
import type { LiveMessage, LiveRequest } from '../../src/protocol/live.ts';
import type { Session } from '../../src/protocol/session.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt, installFakeCli } from '../helpers/fake-cli.ts';
import { examplesOf } from '../helpers/live-examples.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { sharedFromStart } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';

const PAGE = readFileSync(join(fileURLToPath(import.meta.url), '../../../docs/live.md'), 'utf8');

const shared = sharedFromStart(async () => {
  const binary = await installFakeCli(tempDir());
  return startServer({
    config: {
      providers: { claude: { binary } },
      terminals: { enabled: true, commands: { bash: { binary: 'bash', args: ['--norc'] } } },
    },
  });
});

/** What the words in capitals of the page stand for, on a server. */
async function valuesOn(server: TestServer): Promise<Record<string, string>> {
  const made = async (path: string, body: object): Promise<string> => {
    const response = await server.api('POST', path, body);
    expect(response.ok, await response.clone().text()).toBe(true);
    return ((await response.json()) as { id: string }).id; // of the documented session or job
  };
  const chat = await made('/v1/sessions', { provider: 'claude', prompt: 'hello' });
  const job = await made('/v1/jobs', { provider: 'claude', prompt: fakePrompt([{ hang: true }]) });
  const call = { name: 'Bash', input: { command: 'true' }, asks: true } as const;
  const asking = await made('/v1/jobs', {
    ...{ provider: 'claude', prompt: fakePrompt([{ tool: call }]), onPermissionDenied: 'ask' },
  });
  const terminal = await made('/v1/sessions', { kind: 'terminal', command: 'bash' });
  const ready = await server.api('GET', `/v1/sessions/${chat}?wait=60&until=ready`);
  expect(await ready.json()).toMatchObject({ status: 'ready' });
  const approval = await eventually(async () => {
    const { data } = (await (await server.api('GET', `/v1/approvals?jobId=${asking}`)).json()) as {
      data: { id: string }[];
    }; // the documented list
    return data[0]?.id ?? null;
  });
  return { SESSION: chat, JOB: job, TERMINAL: terminal, APPROVAL: approval, TOKEN: server.token };
}

describe.each(TRANSPORTS)('docs/live.md over %s', (transport) => {
  it('has examples that a server answers as the page says', async () => {
    const server = shared();
    const values = await valuesOn(server);
    const received: LiveMessage[] = [];
    const connection = await connect({
      ...{ transport, url: server.url, token: null },
      onMessage: (message) => received.push(message),
      onClose: () => undefined,
    });
    onTestFinished(() => connection.drop());
    // The same id again would be the same message.
    const examples = examplesOf(PAGE.replaceAll(/"(m\d+)"/g, `"${transport}-$1"`));
    for (const { message, isAnswer } of examples) {
      if (JSON.stringify(message).includes('CURSOR')) values['CURSOR'] = await firstCursor(received);
      const example = withValues(message, values);
      if (!isAnswer) {
        const request = example as LiveRequest; // tests/unit/live-docs.test.ts checks it
        connection.send(request);
        const answer = await eventually(
          () => received.find(({ reply_to }) => reply_to === request.message_id) ?? null,
        );
        if (answer.type === 'error') expect(message).toMatchObject({ session_id: UNKNOWN });
      } else {
        const alike = await eventually(() => {
          const found = received.find((one) => isLike(one, example));
          expect(found, JSON.stringify(example)).toBeDefined();
          return found;
        });
        expectShape(alike, example, JSON.stringify(alike));
      }
    }
  });
});

const CLIENT = join(fileURLToPath(import.meta.url), '../../fixtures/live-client.py');
const ROWS = 40;
/** Rows for half a second, so that some are written while the client has no connection. */
const LINE = `for i in $(seq ${ROWS}); do echo "row $i of {n}, é€"; sleep 0.01; done`;

it('a client in Python resumes after a lost connection, and types each line once', async () => {
  const server = shared();
  const opened = await server.api('POST', '/v1/sessions', { kind: 'terminal', command: 'bash' });
  expect(opened.status, await opened.clone().text()).toBe(201);
  const { id } = (await opened.json()) as Session; // the documented answer

  const client = await promisify(execFile)('python3', [CLIENT, server.url, id, LINE, `row ${ROWS} of {n},`], {
    timeout: 60_000,
    env: { PATH: process.env['PATH'], PYTHONIOENCODING: 'utf-8', BULLPEN_TOKEN: server.token },
  });

  expect(JSON.parse(client.stdout)).toMatchObject({ principal: 'admin', repeated: true });
  const rows = [...client.stderr.matchAll(/row (\d+) of (\d), é€/g)].map(([, row, line]) => `${line}:${row}`);
  expect(rows).toEqual(
    [1, 2, 3].flatMap((line) => Array.from({ length: ROWS }, (_, i) => `${line}:${i + 1}`)),
  );
});

async function firstCursor(received: readonly LiveMessage[]): Promise<string> {
  return eventually(() => {
    const change = received.find(({ data }) => 'cursor' in data)?.data;
    return change !== undefined && 'cursor' in change ? String(change.cursor) : null;
  });
}

/** Whether the server sends such a message by itself: same type, same target, same kind. */
function isLike(message: LiveMessage, documented: object): boolean {
  const what = ({ type, session_id, job_id, reply_to, data = {} }: Partial<LiveMessage>) =>
    JSON.stringify([type, session_id, job_id, reply_to, 'kind' in data ? data.kind : null, 'ended' in data]);
  return what(message) === what(documented);
}

function withValues(message: object, values: Readonly<Record<string, string>>): object {
  const text = Object.entries(values).reduce(
    (sofar, [name, value]) => sofar.replaceAll(new RegExp(`\\b${name}\\b`, 'g'), value),
    JSON.stringify(message),
  );
  return JSON.parse(text);
}

/** The session of the page that no server has. */
const UNKNOWN = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
const EXACT = ['type', 'kind', 'command', 'code', 'reply_to', 'session_id', 'job_id'];

/** The same fields with values of the same types. `null`, and a text with …, are any value. */
function expectShape(actual: unknown, documented: unknown, path = ''): void {
  if (documented === null || (typeof documented === 'string' && documented.includes('…'))) return;
  expect(typeof actual, path).toBe(typeof documented);
  if (typeof documented === 'string' && EXACT.includes(path.split('.').at(-1) ?? ''))
    expect(actual, path).toBe(documented);
  if (typeof documented !== 'object' || typeof actual !== 'object' || actual === null) return;
  expect(Array.isArray(actual), path).toBe(Array.isArray(documented));
  if (Array.isArray(documented)) return;
  expect(Object.keys(actual).sort(), `the fields of ${path}`).toEqual(Object.keys(documented).sort());
  for (const [key, value] of Object.entries(documented))
    expectShape(Reflect.get(actual, key), value, `${path}.${key}`);
}
