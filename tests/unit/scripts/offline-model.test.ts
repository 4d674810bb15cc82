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

  it('makes several calls in one message', async () => {
    const script = '[[call: Read {"n":1}]] [[tool: Read {"n":2}]] [[reply: done]]';
    const { content } = (await (await post(script)).json()) as {
      content: { type: string; input: unknown }[];
    };
    expect(content).toMatchObject([
      { type: 'tool_use', input: { n: 1 } },
      { type: 'tool_use', input: { n: 2 } },
    ]);
    const results = user([toolResult('one'), toolResult('two')]);
    expect(await textOf(await post([user(script), assistant(content), results]))).toBe('done');
  });

  it('goes on to the next step once the tool has answered', async () => {
    const prompt = user('[[tool: Bash {"command":"ls"}]] [[reply: done]]');
    const call = assistant([{ type: 'tool_use', id: 't1', name: 'Bash', input: {} }]);
    expect(await textOf(await post([prompt, call, user([toolResult('[[reply: not me]]')])]))).toBe('done');
    expect(
      await textOf(await post([prompt, call, user([toolResult('x'), { type: 'text', text: 'Next?' }])])),
    ).toMatch('Next?');
  });
});

describe('a failure', () => {
  it('happens as often as told in each conversation, then the script goes on', async () => {
    const prompt = '[[error: 429 retry-after=3 times=1]] [[reply: ok]]';
    const ask = (session: string) => post(prompt, { headers: { 'x-claude-code-session-id': session } });
    const refused = await ask('a');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '3']);
    expect((await ask('b')).status).toBe(429);
    expect(await textOf(await ask('a'))).toBe('ok');
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

  it('listens on loopback only, and stops more than once', async () => {
    await expect(startOfflineModel({ host: '0.0.0.0' })).rejects.toThrow('loopback');
    await model.stop();
    await expect(post('Hello')).rejects.toThrow();
  });
});
