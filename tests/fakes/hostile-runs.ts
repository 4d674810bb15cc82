/**
 * Runs of CLIs in which something is where it should not be: recorded lines, each with some of its
 * values replaced.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { resolvedPrompt } from '../../scripts/offline-model/resolved-prompt.ts';
import type { ResolvedPrompt } from '../../src/protocol/prompt.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { createProviders } from '../../src/providers/registry.ts';
import { random } from '../helpers/random.ts';
import { PROVIDER_HOST, providerSettings } from '../unit/providers/settings.ts';

const FIXTURES = new URL('../fixtures/providers/', import.meta.url);

/** As JSON. */
const VALUES: readonly string[] = [
  ...[
    'null',
    'true',
    '0',
    '-0',
    '-1',
    '1.5',
    '1e300',
    '-1e300',
    '1e999',
    '9007199254740993',
    '1e308',
    '"12"',
  ],
  ...['""', '[]', '{}', '[null]', '["success"]', '{"length":-1}', '"\\u0000"', '"\\ud83d"', '"\\ude00x"'],
  '{"__proto__":{"polluted":1},"constructor":{"prototype":1},"toString":1,"hasOwnProperty":null,"toJSON":1}',
  '"a\\u2028b\\u2029\\u0007\\u001b[31m"',
  '{"a":1,"a":"\\udc00"}',
  `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
  `${'{"a":'.repeat(3000)}1e999${'}'.repeat(3000)}`,
  `${'[{"text":'.repeat(600)}"\\ud800"${'}]'.repeat(600)}`,
  `"${'x'.repeat(300_000)}"`,
  `"${'\\u0001'.repeat(2000)}"`,
  `{"${'k'.repeat(5000)}":1}`,
  `[${'{"tool_name":"x","tool_input":null},'.repeat(3000)}0]`,
];
const LINES: readonly string[] = [
  '\0',
  '{',
  '[[',
  '{"type":"result"}',
  '\u{2028}',
  '"',
  '{"type":{}}',
  '1e999',
  'null',
];

const custom = (output: unknown) => ({ binary: 'x', output });
const ndjson = {
  text: '/text',
  session: '/session',
  toolName: '/tool/name',
  toolId: '/tool/id',
  toolInput: '/tool/input',
  inputTokens: '/use/in',
  outputTokens: '/use/out',
  costUsd: '/use/usd',
  error: '/error',
};
const providers = createProviders(
  providerSettings({
    custom: { lines: custom({ ndjson }), document: custom({ json: '/answer' }), text: custom('text') },
  }),
  PROVIDER_HOST,
);

const APP_SERVER = 'codex app-server';
const appServer = createProviders(providerSettings({ codex: { transport: 'app-server' } }), PROVIDER_HOST);
const providerOf = (name: string): Provider =>
  name === APP_SERVER ? appServer.get('codex').provider : providers.get(name).provider;

const recorded = (name: string): readonly (readonly string[])[] =>
  readdirSync(new URL(`${name}/`, FIXTURES)).map((run) =>
    readFileSync(new URL(`${name}/${run}/stdout.jsonl`, FIXTURES), 'utf8')
      .split('\n')
      .filter(Boolean),
  );
const written = (...lines: readonly unknown[]): readonly (readonly string[])[] => [
  lines.map((line) => JSON.stringify(line)),
];
const usage = {
  input_tokens: 3,
  output_tokens: 1,
  cache_read_input_tokens: 1,
  cache_creation_input_tokens: 1,
};
const tool = { shellToolCall: { args: { command: 'ls' }, result: { success: { stdout: 'x' } } } };

const RUNS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  claude: [
    ...recorded('claude'),
    ...written(
      { type: 'system', subtype: 'init', session_id: 's', model: 'm', apiKeySource: 'none' },
      {
        type: 'rate_limit_event',
        rate_limit_info: { status: 'rejected', resetsAt: 1, rateLimitType: 'five_hour' },
      },
      { type: 'user', message: { content: [{ type: 'tool_result', tool_use_id: 't', content: { a: 1 } }] } },
    ),
  ],
  codex: recorded('codex'),
  gemini: recorded('gemini'),
  'cursor-agent': written(
    { type: 'system', subtype: 'init', session_id: 's', model: 'm' },
    { type: 'thinking', subtype: 'completed', text: 'x' },
    { type: 'assistant', message: { content: [{ type: 'text', text: 'x' }] }, timestamp_ms: 1 },
    { type: 'tool_call', subtype: 'started', call_id: 'c', tool_call: tool },
    { type: 'tool_call', subtype: 'completed', call_id: 'c', tool_call: tool },
    {
      type: 'result',
      subtype: 'success',
      is_error: false,
      result: 'x',
      usage: { inputTokens: 1, outputTokens: 1 },
    },
  ),
  'anthropic-sdk': written(
    { type: 'message_start', message: { model: 'm', usage } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', usage },
    { type: 'retry', retry: 1, maxRetries: 2, status: 529 },
    { type: 'result', text: 'x', model: 'm', stop_reason: 'end_turn', usage },
    {
      type: 'error',
      status: 429,
      errorType: 'rate_limit_error',
      message: 'x',
      resetsAt: '2026-01-01T00:00:00Z',
    },
  ),
  lines: written(
    { session: 's', text: 'x', use: { in: 1, out: 2, usd: 0.5 } },
    { tool: { name: 'n', id: 'i', input: { a: 1 } } },
    { error: 'x' },
    { text: 'y' },
  ),
  document: written({ answer: { a: ['x'] } }),
  text: [['x', 'y']],
  [APP_SERVER]: recorded('codex-app-server'),
};

export interface HostileRun {
  readonly provider: Provider;
  readonly request: ResolvedPrompt;
  readonly lines: readonly string[];
}

/** `count` runs of each provider, the same for the same seed. */
export function* hostileRuns(seed: number, count: number): Generator<HostileRun> {
  const next = random(seed);
  const pick = <T>(from: readonly T[]): T => {
    const one = from[Math.floor(next() * from.length)];
    if (one === undefined) throw new Error('there is nothing to pick from');
    return one;
  };
  /** One of its values, however deep, replaced. */
  const changed = (line: string): string => {
    if (!line.startsWith('{')) return pick(LINES);
    const whole: unknown = JSON.parse(line);
    const places: [Record<string, unknown>, string][] = [];
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const [key, one] of Object.entries(value)) {
        places.push([value as Record<string, unknown>, key]); // an array's indices are keys too
        walk(one);
      }
    };
    walk(whole);
    const [holder, key] = pick(places);
    holder[key] = 'HOSTILE';
    return JSON.stringify(whole).replace('"HOSTILE"', () => pick(VALUES));
  };
  for (const [name, runs] of Object.entries(RUNS)) {
    for (let round = 0; round < count; round += 1) {
      const lines = pick(runs).flatMap((line) => {
        if (next() < 0.02) return [line, pick(LINES)];
        return [next() < 0.3 ? changed(line) : line];
      });
      const outputSchema = next() < 0.3 ? { type: 'object' } : null;
      const sessionId = next() < 0.3 ? 's' : null;
      const provider = providerOf(name);
      const request = resolvedPrompt({ provider: provider.name, model: 'm', outputSchema, sessionId });
      yield { provider, request, lines };
    }
  }
}
