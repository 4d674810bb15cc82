/** Lines longer than the limit, on their way from the bytes to what the run amounts to. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { createLineSplitter } from '../../../src/processes/lines.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { Provider, Verdict } from '../../../src/providers/provider.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { PROVIDER_HOST, providerSettings } from './settings.ts';

const MAX_LINE = 1024;
const MAX_TEXT = 4096;
const LONG = '\\"é😀\n'.repeat(1000);
const FIXTURES = new URL('../../fixtures/providers/', import.meta.url);
const custom = (output: unknown) => ({ binary: 'x', output });

const providers = createProviders(
  providerSettings({
    custom: {
      text: custom('text'),
      document: custom({ json: '/answer/text' }),
      lines: custom({ ndjson: { text: '/a/text', session: '/session', toolName: '/tool', costUsd: '/usd' } }),
    },
  }),
  PROVIDER_HOST,
);
const providerOf = (name: string): Provider => providers.get(name).provider;

function read(provider: Provider, output: string, request: Partial<ResolvedPrompt> = {}): Verdict {
  const translator = provider.translator(resolvedPrompt({ provider: provider.name, ...request }));
  const splitter = createLineSplitter({
    maxLineBytes: MAX_LINE,
    maxTextBytes: MAX_TEXT,
    onLine: (line, cut) => void translator.line(line, cut),
  });
  const bytes = Buffer.from(output);
  for (let at = 0; at < bytes.length; at += 4000) splitter.write(bytes.subarray(at, at + 4000));
  splitter.end();
  return translator.end({ code: 0, signal: null }, '');
}

const lines = (...values: readonly unknown[]): string =>
  values.map((one) => `${JSON.stringify(one)}\n`).join('');

/** The same with something very long before and behind all that each line holds. */
const padded = (output: string): string =>
  output
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      if (!line.startsWith('{')) return `${line}\n`;
      const many = Array.from({ length: 100 }, (_, at) => ({ at, more: { text: 'x' } }));
      return `${JSON.stringify({ before: LONG, many, ...JSON.parse(line), behind: [LONG, { deep: [LONG] }] })}\n`;
    })
    .join('');

const BY_HAND: Readonly<Record<string, string>> = {
  'cursor-agent': lines(
    { type: 'system', subtype: 'init', session_id: 's', model: 'm' },
    { type: 'result', subtype: 'success', is_error: false, result: 'the answer', session_id: 's' },
  ),
  'anthropic-sdk': lines(
    { type: 'message_start', message: { model: 'm', usage: { input_tokens: 3, output_tokens: 1 } } },
    { type: 'result', model: 'm', text: 'the answer', stop_reason: 'end_turn', usage: {} },
  ),
  lines: lines({ session: 's', usd: 0.5, a: { text: 'the ' } }, { a: { text: 'answer' } }),
  document: lines({ answer: { text: 'the answer' } }),
};

describe('lines longer than the limit', () => {
  it.each(['claude', 'codex', 'gemini', ...Object.keys(BY_HAND)])(
    'change nothing of what a run of %s amounts to',
    (name) => {
      const provider = providerOf(name);
      const byHand = BY_HAND[name];
      const outputs =
        byHand === undefined
          ? readdirSync(new URL(`${name}/`, FIXTURES)).map((run) =>
              readFileSync(new URL(`${name}/${run}/stdout.jsonl`, FIXTURES), 'utf8'),
            )
          : [byHand];
      for (const output of outputs) expect(read(provider, padded(output))).toEqual(read(provider, output));
      if (byHand !== undefined) expect(read(provider, padded(byHand)).text).toBe('the answer');
    },
  );

  const result = { type: 'result', subtype: 'success', is_error: false, num_turns: 2, result: 'done' };
  const input = { file_path: '/a', content: 'x'.repeat(250_000) };
  const denial = { tool_name: 'Write', tool_use_id: 'id', tool_input: input };

  it('leave a finished run with many long denials its answer and its cost', () => {
    const permission_denials = Array.from({ length: 20 }, (_, at) => ({ ...denial, tool_use_id: `id${at}` }));
    for (const line of [
      { ...result, permission_denials, total_cost_usd: 0.5 },
      { permission_denials, ...result, total_cost_usd: 0.5 },
    ]) {
      const verdict = read(providerOf('claude'), lines(line));
      expect(verdict).toMatchObject({ text: 'done', turns: 2, error: null, usage: { costUsd: 0.5 } });
      expect(verdict.permissionDenials[0]).toMatchObject({ tool: 'Write', input: { file_path: '/a' } });
    }
  });

  it('do not make a part of a structured answer the whole of it', () => {
    const request = { outputSchema: { type: 'object' } };
    const whole = { list: [{ a: { b: { c: [1, 'two'] } } }] };
    const beside = { ...result, permission_denials: [denial], structured_output: whole };
    expect(read(providerOf('claude'), lines(beside), request)).toMatchObject({
      structured: whole,
      error: null,
    });
    for (const structured_output of [{ list: ['x'.repeat(90_000)] }, { ['k'.repeat(2000)]: 1 }]) {
      const verdict = read(providerOf('claude'), lines({ ...result, structured_output }), request);
      expect(verdict).toMatchObject({ structured: null, error: { code: 'execution.bad_output' } });
    }
  });

  it('say of an answer of claude that it is cut, also when less of it is left than an outcome takes', () => {
    const end = { type: 'result', subtype: 'success', is_error: false };
    const before = { a: 'x'.repeat(100_000), b: [LONG, LONG], c: [LONG, LONG] };
    const answer = '\u0001'.repeat(MAX_TEXT);
    const { text, textIsCut } = read(providerOf('claude'), lines({ ...before, ...end, result: answer }));
    expect([answer.startsWith(text), text.length < answer.length, textIsCut]).toEqual([true, true, true]);
    expect(
      read(providerOf('claude'), lines({ ...before, ...end, result: 'Yes.' })).textIsCut,
    ).toBeUndefined();
  });

  it('keep more of a long answer than an outcome takes, or say that it is cut', () => {
    const answer = 'é'.repeat(20_000);
    const outputs: Readonly<Record<string, string>> = {
      claude: lines({ ...result, result: answer, permission_denials: [denial] }),
      codex: lines(
        { type: 'item.completed', item: { id: '1', type: 'agent_message', text: answer } },
        { type: 'turn.completed', usage: { input_tokens: 1, output_tokens: 1 } },
      ),
      gemini: lines(
        { type: 'message', role: 'assistant', content: answer },
        { type: 'result', status: 'success' },
      ),
      'cursor-agent': lines({
        type: 'result',
        subtype: 'success',
        is_error: false,
        result: answer,
        session_id: 's',
      }),
      'anthropic-sdk': lines({
        type: 'result',
        model: 'm',
        text: answer,
        stop_reason: 'end_turn',
        usage: {},
      }),
    };
    for (const [name, output] of Object.entries(outputs)) {
      const { text, error } = read(providerOf(name), output);
      expect(error, name).toBeNull();
      expect(answer.startsWith(text) && Buffer.byteLength(text) > MAX_TEXT, name).toBe(true);
    }
    expect(read(providerOf('text'), answer)).toMatchObject({ textIsCut: true, error: null });
    expect(read(providerOf('lines'), lines({ a: { text: answer } }))).toMatchObject({
      textIsCut: true,
      error: null,
    });
    const document = JSON.stringify({ log: [answer], answer: { text: answer } }, null, 2);
    expect(read(providerOf('document'), document)).toMatchObject({ textIsCut: true, error: null });
    const other = JSON.stringify({ log: answer, answer: { text: 'short' } }, null, 2);
    expect(read(providerOf('document'), other)).toMatchObject({
      text: 'short',
      textIsCut: false,
      error: null,
    });
  });
});
