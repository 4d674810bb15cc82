import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { StoredEvent } from '../../src/protocol/event.ts';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { commandLine, descendants, processesWithMarker } from '../helpers/proc.ts';
import { findRedisCli, findTestServer, runRedisCli } from '../helpers/redis-private.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { tempDir } from '../helpers/temp.ts';

const PATIENCE = { timeoutMs: 60_000 };

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const env = () => ({ ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'offline' });
const start = (more: Readonly<Record<string, string>> = {}): Promise<TestServer> =>
  startServer({ env: { ...env(), ...more } });

/** Processes of any execution of this server. */
function marked({ home }: TestServer): number[] {
  const nodeId = readFileSync(join(home, 'node-id'), 'utf8').trim();
  return processesWithMarker(`BULLPEN_EXECUTION_ID=${nodeId}/`);
}

/** What the model was asked with a last text that begins so, white space before it left out. */
const asked = (prompt: string) =>
  model.requests.filter(({ lastUserText }) => lastUserText?.trimStart().startsWith(prompt) === true);

/** A job's events as they come over SSE, each with the id of its frame. */
async function* follow(server: TestServer, id: string): AsyncGenerator<StoredEvent> {
  const response = await server.api('GET', `/v1/jobs/${id}/events`);
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  let text = '';
  for await (const chunk of (response.body ?? expect.unreachable()).pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
      const fields = Object.fromEntries(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => line.split(/: (.*)/s, 2)),
      );
      text = text.slice(end + 2);
      if (fields['data'] === undefined) continue;
      const event = JSON.parse(fields['data']) as StoredEvent; // the documented events
      expect([fields['id'], fields['event']]).toEqual([String(event.seq), event.kind]);
      yield event;
    }
  }
}

const inBackground = (command: string): string =>
  `[[tool: Bash ${JSON.stringify({ command, description: 'x', run_in_background: true })}]]`;
const toolPrompt = (command: string, rest: string): string =>
  `[[say: working]] [[tool: Bash ${JSON.stringify({ command, description: 'x' })}]] ${rest}`;

describe('one prompt through the whole system and the real claude', () => {
  it('answers, with its text, usage and cost', async () => {
    const server = await start();
    const job = await server.run({ prompt: 'Say it. [[reply: it]]' });
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text: 'it', error: null } });
    expect(job.outcome?.usage).toMatchObject({ costBasis: 'reported' });
    expect(job.outcome?.usage?.costUsd).toBeGreaterThan(0);
  });

  it('streams text and tools while it runs, numbered from 1 without a gap to the end', async () => {
    const server = await start();
    const go = join(server.workspace, 'go');
    const prompt = toolPrompt(
      `until [ -e ${go} ]; do sleep 0.05; done; echo hi`,
      '[[reply: done in five words]]',
    );
    const { id } = await server.run({ prompt, allowedTools: ['Bash'] }, 0);
    const events: StoredEvent[] = [];
    for await (const event of follow(server, id)) {
      events.push(event);
      if (event.kind !== 'tool.started') continue;
      // The text before the tool is here although the job runs.
      expect(events.filter(({ kind }) => kind === 'text.delta')).not.toEqual([]);
      expect(await server.job(id)).toMatchObject({ status: 'running', finished: false });
      writeFileSync(go, '');
    }

    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    const kinds = events.map(({ kind }) => kind);
    expect(kinds.slice(0, 3)).toEqual(['job.queued', 'job.running', 'execution.started']);
    expect(kinds.slice(-2)).toEqual(['execution.finished', 'job.finished']);
    expect(kinds.indexOf('session')).toBe(3);
    const deltas = events.flatMap((event) => (event.kind === 'text.delta' ? [event.text] : []));
    expect(deltas.length).toBeGreaterThan(2);
    expect(deltas.join('')).toBe('workingdone in five words');
    const tools = events.filter(({ kind }) => kind.startsWith('tool.'));
    expect(tools).toMatchObject([
      { kind: 'tool.started', name: 'Bash', input: { description: 'x' } },
      { kind: 'tool.ended', isError: false, output: 'hi' },
    ]);
    const job = await server.job(id);
    expect(events.at(-1)).toMatchObject({ kind: 'job.finished', job });
    expect(job).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'done in five words', turns: 2, permissionDenials: [] },
    });
  });

  it('continues the same session of the CLI in a second job', async () => {
    const server = await start();
    const first = await server.run({ prompt: 'I am Ada. [[reply: Hello Ada]]' });
    const sessionId = first.outcome?.sessionId ?? expect.unreachable();
    const second = await server.run({ prompt: 'Who? [[reply: Ada]]', sessionId });
    expect(second).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'Ada', sessionId, nativeSessionId: first.outcome?.nativeSessionId },
    });
    expect(second.id).not.toBe(first.id);
  });

  it('answers the next prompt of a session, not a notice about a task that died with the job before', async () => {
    const server = await start({ BULLPEN_WARM_PROCESSES: '2' });
    const first = await server.run({ prompt: 'I am Ada. [[reply: Hello Ada]]' });
    const sessionId = first.outcome?.sessionId ?? expect.unreachable();
    const session = { sessionId, allowedTools: ['Bash'] };
    const prompt = `${inBackground('tail -f /dev/null')} ${toolPrompt('perl -e "sleep 900"', '[[reply: never]]')}`;
    const { id } = await server.run({ ...session, prompt }, 0);
    await eventually(
      () => marked(server).some((pid) => commandLine(pid)?.startsWith('perl -e sleep 900') === true),
      PATIENCE,
    );
    await server.api('POST', `/v1/jobs/${id}/cancel`);
    expect(await server.finished(id)).toMatchObject({ status: 'cancelled' });
    expect(await server.run({ ...session, prompt: 'Who? [[reply: Ada]]' })).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'Ada', turns: 1, usage: { costBasis: 'reported' } },
    });
    // Its process was kept: the rest of its turn is no work of its own.
    const next = await server.run({ ...session, prompt: 'Sure? [[reply: Sure]]' });
    expect(next.outcome).toMatchObject({ text: 'Sure', exit: { code: null, signal: null } });
  });

  it('ends with its answer beside a task that goes on, or waits for it when asked to', async () => {
    const server = await start({ BULLPEN_LINGER_MS: '500' });
    const prompt = `${inBackground('tail -f /dev/null')} [[reply: it is up]]`;
    const stopped = await server.run({ prompt, allowedTools: ['Bash'] }, 60);
    expect(stopped).toMatchObject({ status: 'succeeded', outcome: { text: 'it is up' } });
    expect(marked(server)).toEqual([]);
    const warnings: string[] = [];
    for await (const event of follow(server, stopped.id)) {
      if (event.kind === 'warning') warnings.push(`${event.code}: ${event.message}`);
    }
    expect(warnings).toEqual([expect.stringMatching(/^background_stopped: .*tail -f \/dev\/null/)]);

    const go = join(server.workspace, 'go');
    const task = inBackground(`until [ -e ${go} ]; do sleep 0.05; done`);
    const waits = `${task} [[reply: started]] [[reply: and ended]]`;
    const { id } = await server.run({ prompt: waits, allowedTools: ['Bash'], background: 'wait' }, 0);
    for await (const event of follow(server, id)) {
      if (event.kind === 'usage') writeFileSync(go, ''); // the first answer is there
    }
    const { status, outcome } = await server.job(id);
    expect([status, outcome?.text, outcome?.turns]).toEqual(['succeeded', 'and ended', 3]);
  });

  it('asks a prompt of a session once, also when an attempt of it failed or was killed', async () => {
    const dir = tempDir();
    const options = {
      dir,
      env: { ...env(), BULLPEN_RETRY_BACKOFF_MS: '100' },
      config: { providers: { claude: { maxRetries: 0 } } },
    };
    const server = await startServer(options);
    const retry = { maxAttempts: 3 };
    const first = await server.run({ prompt: 'I am Ada. [[reply: Hello Ada]]' });
    const sessionId = first.outcome?.sessionId ?? expect.unreachable();
    const times = (text: string) =>
      asked(text)
        .map(({ lastUserText }) => lastUserText?.split(text).length ?? 0)
        .map((parts) => parts - 1);

    const refused = 'refused once [[error: 529 times=1 key=refused]] [[reply: and answered]]';
    expect(await server.run({ prompt: refused, sessionId, retry }, 60)).toMatchObject({
      status: 'succeeded',
      attempts: 2,
      outcome: { text: 'and answered', sessionId },
    });
    expect(times('refused once')).toEqual([1, 1]);

    const { id } = await server.run({ prompt: 'killed once [[slow: 40 tokens 50ms]]', sessionId, retry }, 0);
    await eventually(() => asked('killed once').length === 1, PATIENCE);
    await server.kill('SIGKILL');
    const again = await startServer(options);
    expect(await again.finished(id)).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(times('killed once')).toEqual([1, 1]);
  });

  it('does not go on with what another job of the session has left, when an attempt never asked', async () => {
    const dir = tempDir();
    const path = (name: string): string => join(dir, name);
    const claude = fileURLToPath(new URL('../../node_modules/.bin/claude', import.meta.url));
    const hangs = `if [ -e ${path('hang')} ]; then mv ${path('hang')} ${path('hung')}; exec sleep 1000; fi`;
    writeFileSync(path('claude'), `#!/bin/sh\n${hangs}\nexec ${claude} "$@"\n`, { mode: 0o755 });
    const options = {
      dir,
      env: { ...env(), BULLPEN_RETRY_BACKOFF_MS: '10' },
      config: { providers: { claude: { binary: path('claude') } } },
    };
    const server = await startServer(options);
    const first = await server.run({ prompt: 'given up [[slow: 40 tokens 50ms]]' }, 0);
    await eventually(() => asked('given up').length === 1, PATIENCE);
    await server.api('POST', `/v1/jobs/${first.id}/cancel`);
    const { status, outcome } = await server.finished(first.id);
    expect(status).toBe('cancelled');
    writeFileSync(path('hang'), '');
    const sessionId = outcome?.sessionId ?? expect.unreachable();
    const retry = { maxAttempts: 2 };
    const next = { prompt: 'asked late [[reply: mine]]', sessionId, retry };
    const { id } = await server.run(next, 0);
    await eventually(() => existsSync(path('hung')), PATIENCE);
    await server.kill('SIGKILL');
    const again = await startServer(options);
    expect(await again.finished(id)).toMatchObject({
      ...{ status: 'succeeded', attempts: 2, outcome: { text: 'mine' } },
    });
    expect(asked('given up')).toHaveLength(1);
  });

  it('asks for an answer again that was lost with the server, not the prompt', async () => {
    const dir = tempDir();
    const failpoints = tempDir();
    const start = (more: Readonly<Record<string, string>>) =>
      startServer({ dir, env: { ...env(), BULLPEN_RETRY_BACKOFF_MS: '100', ...more } });
    const server = await start({ BULLPEN_TEST_FAILPOINTS: failpoints });
    const first = await server.run({ prompt: 'I am Ada. [[reply: Hello Ada]]' });
    writeFileSync(join(failpoints, 'executor.ended.hold'), '');
    const sessionId = first.outcome?.sessionId ?? expect.unreachable();
    const retry = { maxAttempts: 2 };
    const { id } = await server.run({ prompt: 'lost answer [[reply: first]]', sessionId, retry }, 0);
    await eventually(() => existsSync(join(failpoints, 'executor.ended.reached')), PATIENCE);
    await server.kill('SIGKILL');
    const again = await start({});
    const answer = expect.stringContaining('You said: "Your answer to my last message was lost.');
    expect(await again.finished(id)).toMatchObject({
      ...{ status: 'succeeded', attempts: 2, outcome: { text: answer, sessionId } },
    });
    expect(asked('lost answer')).toHaveLength(1);
  });

  it('fails at once, with what to do, when the API refuses the key', async () => {
    const server = await start();
    const prompt = 'refused key [[error: 401]]';
    const job = await server.run({ prompt }, 60);
    expect(job).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'auth.required', retryable: false } },
    });
    expect(job.outcome?.error?.message).toContain('/login');
    // By itself the CLI asks eleven times, over minutes.
    expect(asked('refused key').length).toBeLessThanOrEqual(2);
    expect(marked(server)).toEqual([]);
  });

  it('gives the model more than the prompt, in a session too, and hides it from other users of the machine', async () => {
    const server = await start();
    const outputSchema = { type: 'object', properties: { secretField: { type: 'string' } } };
    const request = { prompt: 'held [[hang]]', appendSystemPrompt: 'Secret instructions.', outputSchema };
    const { id } = await server.run(request, 0);
    await eventually(() => asked('held').length > 0, PATIENCE);
    expect(asked('held')[0]?.instructions).toContain('Secret instructions.');
    const shown = descendants(server.pid).map(commandLine).join('\n');
    expect(shown).toContain('claude');
    expect(shown).not.toMatch(/secret|held/i);
    await server.api('POST', `/v1/jobs/${id}/cancel`, { force: true });

    const first = await server.run({ prompt: 'one [[reply: 1]]', appendSystemPrompt: 'Rule one.' });
    const sessionId = first.outcome?.sessionId ?? expect.unreachable();
    const resumed = await server.run({
      prompt: 'two [[reply: 2]]',
      appendSystemPrompt: 'Rule two.',
      sessionId,
    });
    expect(resumed.status).toBe('succeeded');
    expect(asked('two')[0]?.instructions).toContain('Rule two.');
    expect(asked('two')[0]?.instructions).not.toContain('Rule one.');
  });

  it('gives structured output for a schema, and ends at maxTurns', async () => {
    const server = await start();
    const outputSchema = {
      $schema: 'https://json-schema.org/draft/2020-12/schema', // which the CLI by itself refuses
      type: 'object',
      properties: { answer: { type: 'string' } },
      required: ['answer'],
      additionalProperties: false,
    };
    const [structured, turns] = await Promise.all([
      server.run({ prompt: 'In the form', outputSchema }, 60),
      server.run(
        { prompt: toolPrompt('echo hi', '[[reply: never]]'), allowedTools: ['Bash'], maxTurns: 1 },
        60,
      ),
    ]);
    expect(structured).toMatchObject({
      status: 'succeeded',
      outcome: { structured: { answer: expect.any(String) } },
    });
    expect(turns).toMatchObject({ status: 'failed', outcome: { error: { code: 'execution.max_turns' } } });
  });
});

describe('a claude that does not come to an end', () => {
  it.each([
    ['timeoutMs', 'execution.timed_out'],
    ['idleTimeoutMs', 'execution.idle'],
  ])('is ended by %s, and nothing of it survives', async (limit, code) => {
    const server = await start();
    const job = await server.run({ prompt: 'never [[hang]]', [limit]: 3000 }, 60);
    expect(job).toMatchObject({ status: 'failed', attempts: 1, outcome: { error: { code } } });
    expect(marked(server)).toEqual([]);
  });

  it.each([
    ['with its grace', {}],
    ['by force', { force: true }],
  ])('is cancelled %s while its tool runs, and nothing of either survives', async (_how, body) => {
    const server = await start();
    const { id } = await server.run(
      { prompt: toolPrompt('tail -f /dev/null', '[[reply: never]]'), allowedTools: ['Bash'] },
      0,
    );
    await eventually(
      () => marked(server).some((pid) => commandLine(pid)?.startsWith('tail -f /dev/null') === true),
      PATIENCE,
    );
    const answer = await server.api('POST', `/v1/jobs/${id}/cancel`, body);
    expect(answer.status).toBe(202);
    expect(await answer.json()).toMatchObject({ id, cancelRequested: true });
    const job = await server.finished(id);
    expect(job).toMatchObject({
      status: 'cancelled',
      outcome: { status: 'cancelled', error: { code: 'execution.cancelled' } },
    });
    expect(marked(server)).toEqual([]);
    expect((await server.api('POST', `/v1/jobs/${id}/cancel`)).status).toBe(200);
  });
});

describe('a prompt', () => {
  it.each([
    '--dangerously-skip-permissions',
    '-p',
    '/cost',
    'say "quoted" and \'quoted\'',
    '$(id) `id` ; id | id && id > x',
    'naïve 日本語 🐂\ttab\n\nnewlines\n',
  ])('reaches the model as it is and never a command line: %j', async (text) => {
    const server = await start();
    // Ends on a mark of its own, so that white space at the end is seen too.
    const prompt = `${text} [[hang]] ends`;
    const { id } = await server.run({ prompt }, 0);
    const [request] = await eventually(() => {
      const found = asked(text.trimEnd());
      return found.length > 0 ? found : null;
    }, PATIENCE);
    expect(request?.lastUserText?.replace(/^\n(?=\/)/, '')).toBe(prompt);
    const lines = marked(server).map((pid) => commandLine(pid) ?? '');
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).not.toContain('[[hang]]');
    // All that follows the binary is what every job gets.
    for (const line of lines) expect(line).toMatch(/ -p( --[a-z-]+(=[\w-]+)?)+$/);
    expect(lines.join()).not.toContain('--dangerously-skip-permissions');
    await server.api('POST', `/v1/jobs/${id}/cancel`, { force: true });
    expect(await server.finished(id)).toMatchObject({ status: 'cancelled', prompt });
  });

  it('may be sent as plain text and answered as plain text', async () => {
    const server = await start();
    const post = (query: string, accept: string, body: string) =>
      fetch(`${server.url}/v1/jobs?${query}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.token}`, 'content-type': 'text/plain', accept },
        body,
      });
    const answer = await post('wait=60&tags=shell', 'text/plain', 'Say it. [[reply: it, plainly]]');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain('text/plain');
    expect(await answer.text()).toBe('it, plainly');
    const id = answer.headers.get('bullpen-job') ?? '';
    expect(answer.headers.get('location')).toBe(`/v1/jobs/${id}`);
    expect(await server.job(id)).toMatchObject({ status: 'succeeded', tags: ['shell'] });

    const json = (await (await post('wait=60', 'application/json', 'Say it. [[reply: it]]')).json()) as Job;
    expect(json).toMatchObject({ status: 'succeeded', outcome: { text: 'it' } });

    // The last one: a refused login opens its circuit.
    const failed = await post('wait=60', 'text/plain', 'Fail. [[error: 401]]');
    expect(failed.headers.get('bullpen-status')).toBe('failed');
    expect(await failed.text()).toMatch(/^auth\.required: /);
  });
});

describe('a raw request over redis-cli', () => {
  it('is answered each time it is published, and says which argument is not allowed', async () => {
    const server = await start();
    const binary = await findTestServer();
    const port = String(server.redisPort);
    const { command, env } = findRedisCli(binary);
    const subscriber = spawn(command, ['-p', port, 'SUBSCRIBE', 'claude:cli:responses'], { env });
    onTestFinished(() => {
      subscriber.kill();
    });
    const lines: string[] = [];
    createInterface({ input: subscriber.stdout }).on('line', (line) => lines.push(line));
    await eventually(() => lines.length >= 3, PATIENCE);
    const answers = () =>
      lines
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line))
        .filter((message) => 'success' in message);
    /** Publishes a request and waits for one more answer. */
    async function ask(request: object): Promise<Record<string, unknown>> {
      const before = answers().length;
      const receivers = await runRedisCli(binary, [
        '-p',
        port,
        'PUBLISH',
        'claude:cli:requests',
        JSON.stringify(request),
      ]);
      expect(Number(receivers)).toBeGreaterThanOrEqual(1);
      return eventually(() => answers()[before] ?? null, PATIENCE);
    }

    const request = { id: 'test', prompt: 'Hello [[reply: Hi there]]', args: ['--print'] };
    expect(await ask(request)).toEqual({ id: 'test', success: true, result: 'Hi there' });
    expect(await ask(request)).toEqual({ id: 'test', success: true, result: 'Hi there' });

    const json = await ask({ ...request, id: 7, args: ['-p', '--output-format', 'json'] });
    expect(json).toMatchObject({ id: 7, success: true });
    expect(JSON.parse(String(json['result']))).toMatchObject({
      type: 'result',
      subtype: 'success',
      result: 'Hi there',
    });

    const refused = await ask({ ...request, args: ['--print', '--dangerously-skip-permissions'] });
    expect(refused).toEqual({
      id: 'test',
      success: false,
      error: 'the argument --dangerously-skip-permissions is not allowed in a raw request',
    });
    expect(await ask({ id: 'x', prompt: 'Fail [[error: 401]]' })).toMatchObject({
      id: 'x',
      success: false,
      error: expect.stringContaining('auth.required'),
    });
    expect(answers()).toHaveLength(5);
    expect(asked('Hello')).toHaveLength(3);
  });
});
