import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { StoredEvent } from '../../src/protocol/event.ts';
import { eventually } from '../helpers/eventually.ts';
import { commandLine, descendants, processesWithMarker } from '../helpers/proc.ts';
import { sharedServer, type TestServer } from '../helpers/server.ts';

const PATIENCE = { timeoutMs: 60_000 };

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const env = () => ({ ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'offline' });
const shared = sharedServer(() => ({
  // A refused key is for the job that has met it, not for the next test.
  env: { ...env(), BULLPEN_AUTH_CIRCUIT_MS: '1', BULLPEN_LINGER_MS: '500' },
}));

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
  it('streams text and tools while it runs, numbered from 1 without a gap to the end', async () => {
    const server = shared();
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

  it('ends with its answer beside a task that goes on, or waits for it when asked to', async () => {
    const server = shared();
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

  it('fails at once, with what to do, when the API refuses the key', async () => {
    const server = shared();
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
    const server = shared();
    const outputSchema = { type: 'object', properties: { secretField: { type: 'string' } } };
    const request = { prompt: 'held [[hang]]', appendSystemPrompt: 'Secret instructions.', outputSchema };
    const { id } = await server.run(request, 0);
    await eventually(() => asked('held').length > 0, PATIENCE);
    expect(asked('held')[0]?.instructions).toContain('Secret instructions.');
    const shown = descendants(server.pid).map(commandLine).join('\n');
    expect(shown).toContain('claude');
    expect(shown).not.toMatch(/secret|held/i);
    await server.api('POST', `/v1/jobs/${id}/cancel`, { force: true });
    await server.finished(id);

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
    const server = shared();
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

it('a claude that is silent is killed, and nothing of it survives', async () => {
  const server = shared();
  const job = await server.run({ prompt: 'never [[hang]]', idleTimeoutMs: 3000 }, 60);
  expect(job).toMatchObject({
    status: 'failed',
    attempts: 1,
    outcome: { error: { code: 'execution.idle' } },
  });
  expect(marked(server)).toEqual([]);
});

it('a prompt reaches the model as it is and never a command line', async () => {
  const server = shared();
  const text =
    '--dangerously-skip-permissions $(id) `id` ; id | id && id > x "quoted" and \'quoted\' naïve 日本語 🐂\ttab\n\nnewlines\n';
  // Ends on a mark of its own, so that white space at the end is seen too.
  const prompt = `${text} [[hang]] ends`;
  const { id } = await server.run({ prompt }, 0);
  const [request] = await eventually(() => {
    const found = asked(text.trimEnd());
    return found.length > 0 ? found : null;
  }, PATIENCE);
  expect(request?.lastUserText).toBe(prompt);
  const lines = marked(server).map((pid) => commandLine(pid) ?? '');
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) expect(line).not.toContain('[[hang]]');
  // All that follows the binary is what every job gets. It may be running git, too.
  const ofClaude = lines.filter((line) => /\/claude /.test(line));
  expect(ofClaude.length).toBeGreaterThan(0);
  for (const line of ofClaude) expect(line).toMatch(/ -p( --[a-z-]+(=(\w+\(\/\/\S+\)|[\w-]+))?)+$/i);
  expect(lines.join()).not.toContain('--dangerously-skip-permissions');
  await server.api('POST', `/v1/jobs/${id}/cancel`, { force: true });
  expect(await server.finished(id)).toMatchObject({ status: 'cancelled', prompt });
});
