import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectiveError, parseBehaviour } from '../../../scripts/offline-model/behaviour.ts';
import { type OfflineModel, startOfflineModel } from '../../../scripts/offline-model/server.ts';

interface SentMessage {
  readonly role: string;
  readonly content: unknown;
}

let model: OfflineModel;

beforeEach(async () => {
  model = await startOfflineModel();
});

afterEach(async () => {
  await model.stop();
});

const user = (content: unknown): SentMessage => ({ role: 'user', content });
const assistant = (content: unknown): SentMessage => ({ role: 'assistant', content });
const toolResult = (content: string) => ({ type: 'tool_result', tool_use_id: 't1', content });

function post(
  prompt: string | readonly SentMessage[],
  {
    headers = {},
    signal,
    ...fields
  }: { headers?: Record<string, string>; signal?: AbortSignal; [field: string]: unknown } = {},
): Promise<Response> {
  const messages = typeof prompt === 'string' ? [user(prompt)] : prompt;
  return fetch(`${model.url}/v1/messages?beta=true`, {
    method: 'POST',
    headers: { 'x-api-key': 'offline', ...headers },
    body: JSON.stringify({ model: 'claude-opus-5-5', max_tokens: 100, messages, ...fields }),
    ...(signal === undefined ? {} : { signal }),
  });
}

async function textOf(response: Response): Promise<string> {
  const body = (await response.json()) as { content: { text?: string }[] };
  return body.content.map((block) => block.text ?? '').join('');
}

interface StreamedEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

async function eventsOf(response: Response): Promise<StreamedEvent[]> {
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith('data: '));
  return lines.map((line) => JSON.parse(line.slice('data: '.length)) as StreamedEvent);
}

describe('directives', () => {
  it('are read in their order, with JSON that holds brackets of its own', () => {
    const steps = parseBehaviour(
      'Do it [[tool: Bash {"command":"[[ -f a ]] && echo \\"}\\""}]] then [[reply: done]]',
    );
    expect(steps).toEqual([
      { kind: 'tool', name: 'Bash', input: { command: '[[ -f a ]] && echo "}"' } },
      { kind: 'reply', text: 'done' },
    ]);
  });

  it('leave other double brackets alone', () => {
    expect(parseBehaviour('See [[a page]] and [[replying]]')).toEqual([]);
  });

  it.each([
    '[[tool: Bash]]',
    '[[error: soon]]',
    '[[error: 429 times=x]]',
    '[[hang: after]]',
    '[[slow: down]]',
    '[[reply: x',
  ])('refuse what cannot be read: %s', (text) => {
    expect(() => parseBehaviour(text)).toThrow(DirectiveError);
  });

  it('are answered with 400 where a prompt gets them wrong', async () => {
    const response = await post('[[error: soon]]');
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
  });
});

describe('a turn', () => {
  it('quotes a prompt without a script', async () => {
    const response = await post('Hello');
    expect(await response.json()).toMatchObject({
      type: 'message',
      role: 'assistant',
      model: 'claude-opus-5-5',
      content: [
        { type: 'text', text: 'You said: "Hello". This answer comes from Bullpen\'s offline model.' },
      ],
      stop_reason: 'end_turn',
      usage: { input_tokens: 2, output_tokens: 17 },
    });
  });

  it('streams a text in several deltas', async () => {
    const events = await eventsOf(await post('[[reply: one two  three]]', { stream: true }));
    expect(events.map(({ type }) => type)).toEqual([
      'message_start',
      'ping',
      'content_block_start',
      ...Array(3).fill('content_block_delta'),
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    const deltas = events.filter(({ type }) => type === 'content_block_delta');
    expect(deltas.map(({ delta }) => (delta as { text: string }).text).join('')).toBe('one two  three');
    expect(events.at(-2)).toMatchObject({ delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 4 } });
  });

  it('streams thinking, text and a tool call as blocks of one message', async () => {
    const prompt = '[[think: hm]] [[say: let me]] [[tool: Read {"file_path":"/a"}]]';
    const events = await eventsOf(await post(prompt, { stream: true }));
    const starts = events.filter(({ type }) => type === 'content_block_start');
    expect(starts.map(({ content_block }) => (content_block as { type: string }).type)).toEqual([
      'thinking',
      'text',
      'tool_use',
    ]);
    const json = events
      .map(({ delta }) => (delta as { partial_json?: string } | undefined)?.partial_json ?? '')
      .join('');
    expect(JSON.parse(json)).toEqual({ file_path: '/a' });
    expect(events.at(-2)).toMatchObject({ delta: { stop_reason: 'tool_use' } });
  });

  it('goes on to the next step once the tool has answered', async () => {
    const prompt = user('[[tool: Bash {"command":"ls"}]] [[reply: done]]');
    const call = assistant([{ type: 'tool_use', id: 't1', name: 'Bash', input: {} }]);
    expect(await textOf(await post([prompt, call, user([toolResult('[[reply: not me]]')])]))).toBe('done');
    expect(
      await textOf(await post([prompt, call, user([toolResult('x'), { type: 'text', text: 'Next?' }])])),
    ).toMatch('Next?');
  });

  it('sees past what the CLI adds to a prompt', async () => {
    const reminder = { type: 'text', text: '<system-reminder>[[reply: wrong]]</system-reminder>' };
    const prompt = user([reminder, { type: 'text', text: '[[reply: right]]' }]);
    const notice = user('[SYSTEM NOTIFICATION - NOT USER INPUT] a task has ended');
    expect(await textOf(await post([prompt, { role: 'system', content: '# Environment' }]))).toBe('right');
    expect(await textOf(await post([prompt, notice]))).toBe('right');
  });

  it('sends as many bytes as told', async () => {
    const text = await textOf(await post('[[long: 100000]]'));
    expect(Buffer.byteLength(text)).toBe(100_000);
  });

  it('spreads a slow reply over time', async () => {
    const before = performance.now();
    const events = await eventsOf(await post('[[slow: 5 tokens 10ms]]', { stream: true }));
    expect(events.filter(({ type }) => type === 'content_block_delta')).toHaveLength(5);
    expect(performance.now() - before).toBeGreaterThan(45);
  });

  it('gives an instance of the schema where structured output is asked for', async () => {
    const schema = {
      type: 'object',
      properties: { a: { enum: ['x', 'y'] }, b: { type: 'integer' } },
      required: ['a', 'b'],
    };
    const tools = [{ name: 'StructuredOutput', input_schema: schema }];
    const body = await (await post('Answer', { tools })).json();
    expect(body).toMatchObject({
      content: [{ type: 'tool_use', name: 'StructuredOutput', input: { a: 'x', b: 0 } }],
    });
  });
});

describe('a failure', () => {
  it.each([
    [401, 'authentication_error'],
    [429, 'rate_limit_error'],
    [500, 'api_error'],
    [529, 'overloaded_error'],
  ])('of %i has the type %s', async (status, type) => {
    const response = await post(`[[error: ${status}]]`, { stream: true });
    expect(response.status).toBe(status);
    expect(response.headers.get('request-id')).toMatch(/^req_/);
    expect(await response.json()).toMatchObject({ type: 'error', error: { type } });
  });

  it('happens as often as told in each conversation, then the script goes on', async () => {
    const prompt = '[[error: 429 retry-after=3 times=1]] [[reply: ok]]';
    const ask = (session: string) => post(prompt, { headers: { 'x-claude-code-session-id': session } });
    const refused = await ask('a');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '3']);
    expect((await ask('b')).status).toBe(429);
    expect(await textOf(await ask('a'))).toBe('ok');
  });

  it('with a key is counted over all conversations', async () => {
    const ask = (session: string) =>
      post('[[error: 529 times=1 key=k]]', { headers: { 'x-claude-code-session-id': session } });
    expect([(await ask('a')).status, (await ask('b')).status]).toEqual([529, 200]);
  });
});

describe('a hang', () => {
  it('sends the start of the message and goes on when released', async () => {
    const response = await post('[[hang]]', { stream: true });
    const reader = (response.body ?? expect.unreachable()).pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toContain('message_start');
    model.releaseHangs();
    let rest = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) rest += part.value;
    expect(rest).toContain('message_stop');
  });

  it('before the answer sends nothing until released', async () => {
    const response = post('[[hang: before]]', { stream: true });
    await model.waitForRequests(1);
    model.releaseHangs();
    expect((await response).status).toBe(200);
  });

  it('ends when the client goes, and when the model stops', async () => {
    const leaving = new AbortController();
    const left = post('[[hang: before]]', { signal: leaving.signal });
    const cut = post('[[hang]]', { stream: true }).then((response) => response.text());
    await model.waitForRequests(2);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await Promise.all([expect(cut).rejects.toThrow(), model.stop()]);
  });
});

describe('the server', () => {
  it('refuses no key and the wrong key, and keeps only a hash of a key', async () => {
    expect((await post('Hello', { headers: { 'x-api-key': '' } })).status).toBe(401);
    expect((await post('Hello', { headers: { 'x-api-key': 'wrong-key' } })).status).toBe(401);
    expect(
      (await post('Hello', { headers: { 'x-api-key': '', authorization: 'Bearer secret-token' } })).status,
    ).toBe(200);
    expect(model.requests.map(({ apiKey }) => apiKey)).toEqual([
      null,
      expect.stringMatching(/^[0-9a-f]{12}$/),
      expect.stringMatching(/^[0-9a-f]{12}$/),
    ]);
    expect(JSON.stringify(model.requests)).not.toMatch(/secret-token|wrong-key/);
  });

  it('answers the routes beside messages, and 404 for others', async () => {
    const headers = { 'x-api-key': 'offline' };
    expect((await fetch(model.url, { method: 'HEAD' })).status).toBe(200);
    expect(await (await fetch(`${model.url}/v1/models`, { headers })).json()).toMatchObject({
      data: [{ type: 'model' }, {}, {}],
    });
    const body = JSON.stringify({ model: 'm', messages: [user('12345678')] });
    const counted = await fetch(`${model.url}/v1/messages/count_tokens`, { method: 'POST', headers, body });
    expect(await counted.json()).toEqual({ input_tokens: 2 });
    const unknown = await fetch(`${model.url}/v2/other`, { headers });
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ type: 'error', error: { type: 'not_found_error' } });
  });

  it('records a turn with its prompt and what was done', async () => {
    await post('[[reply: hi]] Ada');
    expect(await model.waitForRequests(1)).toMatchObject([
      {
        method: 'POST',
        path: '/v1/messages',
        kind: 'turn',
        lastUserText: '[[reply: hi]] Ada',
        behaviour: 'reply',
      },
    ]);
    await expect(model.waitForRequests(2, 5)).rejects.toThrow('1 of 2');
  });

  it("answers the CLI's own requests without touching the script", async () => {
    const headers = { 'user-agent': 'claude-cli/2.1.329 (external, cli)' };
    const format = {
      type: 'json_schema',
      schema: { type: 'object', properties: { title: { type: 'string' } } },
    };
    const prompt = '<session>\n[[error: 500 times=1 key=k]]\n</session>';
    const title = await post(prompt, { headers, output_config: { format } });
    expect(JSON.parse(await textOf(title))).toEqual({ title: 'offline' });
    expect((await post(prompt, { headers, max_tokens: 1 })).status).toBe(200);
    expect(model.requests.map(({ kind }) => kind)).toEqual(['own', 'own']);
    expect((await post(prompt, { headers, tools: [{ name: 'Bash' }] })).status).toBe(500);
  });

  it('has a setting for prompts without a script', async () => {
    model.setBehaviour('[[error: 503 times=1]] [[reply: set]]');
    expect((await post('Hello')).status).toBe(503);
    expect(await textOf(await post('Hello'))).toBe('set');
    expect(await textOf(await post('[[reply: own]]'))).toBe('own');
    model.setBehaviour(null);
    expect(await textOf(await post('Hello'))).toMatch('You said');
  });

  it('listens on loopback only, and stops more than once', async () => {
    await expect(startOfflineModel({ host: '0.0.0.0' })).rejects.toThrow('loopback');
    await model.stop();
    await expect(post('Hello')).rejects.toThrow();
  });
});
