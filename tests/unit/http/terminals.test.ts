import { expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { MAX_INPUT_BYTES } from '../../../src/protocol/terminal.ts';
import { callerOf } from '../../fakes/principals.ts';
import { asAdmin, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;

const call = ({ app }: Http, method: 'GET' | 'POST', url: string, payload?: object, headers = {}) =>
  app.inject({ method, url, headers: { ...asAdmin, ...headers }, ...(payload && { payload }) });

async function open(http: Http, payload: object = { command: 'bash' }): Promise<string> {
  const answer = await call(http, 'POST', '/v1/sessions', { kind: 'terminal', ...payload });
  expect(answer.statusCode).toBe(201);
  return answer.json().id;
}

test('a terminal is made with its size, typed into, resized and signalled', async () => {
  await using http = await startHttp();
  const id = await open(http, { command: 'bash', cols: 120, rows: 40 });
  const shown = (await call(http, 'GET', `/v1/sessions/${id}`)).json();
  expect(shown).toMatchObject({ kind: 'terminal', provider: 'bash', terminal: { cols: 120, rows: 40 } });
  const typed = await call(http, 'POST', `/v1/sessions/${id}/input`, { data: 'ls\r', clientSeq: 7 });
  expect([typed.statusCode, typed.json()]).toEqual([200, { clientSeq: 7, repeated: false }]);
  const sized = await call(http, 'POST', `/v1/sessions/${id}/resize`, { cols: 100, rows: 30 });
  expect(sized.json()).toEqual({ clientSeq: null, repeated: false });
  await call(http, 'POST', `/v1/sessions/${id}/signal`, { signal: 'INT' });
  expect(http.terminals.asked.map(({ ask }) => ask)).toEqual([
    { kind: 'input', data: 'ls\r', clientSeq: 7, messageId: null },
    { kind: 'resize', cols: 100, rows: 30, messageId: null },
    { kind: 'signal', signal: 'INT', messageId: null },
  ]);
});

test('the same Idempotency-Key is the same message, and that of another caller is another', async () => {
  await using http = await startHttp();
  const id = await open(http);
  const { token } = await http.keys.create(
    callerOf('admin'),
    { name: 'x', project: 'default', scopes: ['terminals'] },
    null,
  );
  const type = (headers: object) =>
    call(http, 'POST', `/v1/sessions/${id}/input`, { data: 'x' }, { 'idempotency-key': 'k', ...headers });
  for (const headers of [{}, {}, { authorization: `Bearer ${token}` }])
    expect((await type(headers)).statusCode).toBe(200);
  const ids = http.terminals.asked.map(({ ask }) => ('messageId' in ask ? ask.messageId : null));
  expect(ids[0]).toEqual(expect.any(String));
  expect([ids[1] === ids[0], ids[2] === ids[0]]).toEqual([true, false]);
});

test('its screen is text, its recording asciicast in parts, its history a page', async () => {
  await using http = await startHttp();
  const id = await open(http);
  const screen = await call(http, 'GET', `/v1/sessions/${id}/screen`);
  expect([screen.headers['content-type'], screen.body]).toEqual([
    'text/plain; charset=utf-8',
    '$ ls\nä.txt\n$',
  ]);
  await call(http, 'GET', `/v1/sessions/${id}/screen?format=ansi`);
  const recording = await call(http, 'GET', `/v1/sessions/${id}/recording`);
  expect(recording.headers['content-type']).toBe('application/x-asciicast');
  expect(recording.body).toBe(http.terminals.recording.join(''));
  const history = await call(http, 'GET', `/v1/sessions/${id}/history?limit=5`);
  expect(history.json()).toMatchObject({ data: [{ text: 'ls', exitCode: 0 }], nextCursor: null });
  expect(http.terminals.asked.map(({ ask }) => ask)).toEqual([
    ...[
      { kind: 'screen', format: 'text' },
      { kind: 'screen', format: 'ansi' },
    ],
    ...[
      { kind: 'recording', from: 0 },
      { kind: 'recording', from: 1 },
    ],
    { kind: 'history', limit: 5, cursor: null },
  ]);
});

test('a recording that is refused is an answer, and one that breaks off is seen as broken', async () => {
  await using http = await startHttp();
  const id = await open(http);
  http.terminals.failNext = new AppError('execution.node_unavailable', 'its server does not answer');
  const refused = await call(http, 'GET', `/v1/sessions/${id}/recording`);
  expect([refused.statusCode, refused.json().code]).toEqual([503, 'execution.node_unavailable']);
  const url = await http.listen();
  const ask = http.terminals.ask.bind(http.terminals);
  let asked = 0;
  http.terminals.ask = async (...args) => {
    asked += 1;
    if (asked === 2) throw new AppError('execution.node_unavailable', 'its server does not answer');
    return ask(...args);
  };
  const broken = await fetch(`${url}/v1/sessions/${id}/recording`, { headers: asAdmin });
  await expect(broken.text()).rejects.toThrow();
});

test('a recording breaks off when its key is revoked, so no reader takes the part for the whole', async () => {
  await using http = await startHttp();
  const id = await open(http);
  const key = await http.keys.create(
    callerOf('admin'),
    { name: 'x', project: 'default', scopes: ['sessions:read'] },
    null,
  );
  const url = await http.listen();
  const ask = http.terminals.ask.bind(http.terminals);
  let asked = 0;
  http.terminals.ask = async (...args) => {
    asked += 1;
    if (asked === 2) await http.keys.revoke(callerOf('admin'), key.id);
    return ask(...args);
  };
  http.terminals.recording = ['one\n', 'two\n', 'three\n'];
  const headers = { authorization: `Bearer ${key.token}` };
  const answer = await fetch(`${url}/v1/sessions/${id}/recording`, { headers });
  expect(answer.status).toBe(200);
  await expect(answer.text()).rejects.toThrow();
  expect(asked).toBe(2);
});

test.each([
  ['POST', '/v1/sessions', { kind: 'shell' }],
  ['POST', '/v1/sessions', { command: 'bash' }],
  ['POST', '/v1/sessions', { cols: 80 }],
  ['POST', '/v1/sessions', { rows: 24, prompt: 'x' }],
  ['POST', '/v1/sessions', { kind: 'terminal', prompt: 'x' }],
  ['POST', '/v1/sessions', { kind: 'terminal', allowedTools: ['Read'] }],
  ['POST', '/v1/sessions', { kind: 'terminal', disallowedTools: [] }],
  ['POST', '/v1/sessions', { kind: 'terminal', onPermissionDenied: 'fail' }],
  ['POST', '/v1/sessions', { kind: 'terminal', provider: 'claude', command: 'bash' }],
  ['POST', '/v1/sessions', { kind: 'terminal', command: 'bash', permissionMode: 'plan' }],
  ['POST', '/v1/sessions', { kind: 'terminal', command: 'bash', model: 'opus' }],
  ['POST', '/v1/sessions', { kind: 'terminal', cols: 0 }],
  ['POST', '/v1/sessions', { kind: 'terminal', rows: 1001 }],
  ['POST', '/v1/sessions', { kind: 'terminal', args: ['-c'] }],
  ['POST', '/v1/sessions/ID/input', {}],
  ['POST', '/v1/sessions/ID/input', { data: '' }],
  ['POST', '/v1/sessions/ID/input', { data: 'x', clientSeq: -1 }],
  ['POST', '/v1/sessions/ID/resize', { cols: 80 }],
  ['POST', '/v1/sessions/ID/resize', { cols: 1.5, rows: 1 }],
  ['POST', '/v1/sessions/ID/signal', { signal: 'KILL' }],
  ['POST', '/v1/sessions/ID/signal', { signal: 'SIGINT' }],
  ['GET', '/v1/sessions/ID/screen?format=html', undefined],
  ['GET', '/v1/sessions/ID/recording?from=1', undefined],
  ['GET', '/v1/sessions/ID/history?limit=0', undefined],
] as const)('%s %s with %j is 400', async (method, url, payload) => {
  await using http = await startHttp();
  const answer = await call(http, method, url.replace('ID', await open(http)), payload);
  expect([answer.statusCode, answer.json().code]).toEqual([400, 'request.invalid']);
});

test('an input has 64 KiB of bytes at most', async () => {
  await using http = await startHttp();
  const id = await open(http);
  const largest = 'ä'.repeat(MAX_INPUT_BYTES / 2);
  expect((await call(http, 'POST', `/v1/sessions/${id}/input`, { data: largest })).statusCode).toBe(200);
  const over = await call(http, 'POST', `/v1/sessions/${id}/input`, { data: `${largest}x` });
  expect([over.statusCode, over.json().code]).toEqual([413, 'request.too_large']);
});

test("a chat, what is no id, and another project's terminal are refused in every route", async () => {
  await using http = await startHttp();
  const chat = (await call(http, 'POST', '/v1/sessions', {})).json().id;
  const owner = callerOf('key:owner', 'web');
  const { session } = await http.sessions.create(owner, { kind: 'terminal' }, null);
  const { token } = await http.keys.create(
    callerOf('admin'),
    { name: 'x', project: 'ops', scopes: ['sessions:write', 'terminals'] },
    null,
  );
  const asOther = { authorization: `Bearer ${token}` };
  for (const [method, rest, payload] of [
    ['POST', 'input', { data: 'x' }],
    ['POST', 'resize', { cols: 1, rows: 1 }],
    ['POST', 'signal', { signal: 'INT' }],
    ['GET', 'screen', undefined],
    ['GET', 'recording', undefined],
    ['GET', 'history', undefined],
  ] as const) {
    const codes = [];
    for (const [id, headers] of [
      [chat, {}],
      ['x', {}],
      [session.id, asOther],
    ] as const)
      codes.push((await call(http, method, `/v1/sessions/${id}/${rest}`, payload, headers)).json().code);
    expect(codes, rest).toEqual(['session.wrong_kind', 'session.not_found', 'session.not_found']);
  }
});
