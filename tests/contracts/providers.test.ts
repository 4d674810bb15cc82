import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../scripts/offline-model/resolved-prompt.ts';
import { ERROR_CODES } from '../../src/errors.ts';
import type { Exit } from '../../src/protocol/cli.ts';
import type { ExecutionEvent } from '../../src/protocol/event.ts';
import { createAnthropicProvider } from '../../src/providers/anthropic-sdk/provider.ts';
import { createClaudeProvider } from '../../src/providers/claude/provider.ts';
import { createCodexProvider } from '../../src/providers/codex/provider.ts';
import { createCursorProvider } from '../../src/providers/cursor/provider.ts';
import { createCustomProvider } from '../../src/providers/custom/provider.ts';
import { isDeniedName } from '../../src/providers/environment.ts';
import { createGeminiProvider } from '../../src/providers/gemini/provider.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { builtInOptions } from '../unit/providers/settings.ts';

const FIXTURES = new URL('../fixtures/providers/', import.meta.url);
const own = {
  name: 'own',
  binary: 'own',
  args: ['-m', '{{model}}'],
  stdin: true,
  warmStart: false,
  env: [],
  versionArgs: [],
  success: { exitCodes: [0], pattern: null, failurePattern: null, json: null },
};

const PROVIDERS: Record<string, () => Provider> = {
  claude: () => createClaudeProvider(builtInOptions()),
  codex: () => createCodexProvider(builtInOptions()),
  'codex app-server': () => createCodexProvider({ ...builtInOptions(), transport: 'app-server' }),
  gemini: () => createGeminiProvider(builtInOptions()),
  'cursor-agent': () => createCursorProvider(builtInOptions()),
  'anthropic-sdk': () => createAnthropicProvider(builtInOptions()),
  'custom text': () => createCustomProvider({ ...own, output: 'text' }),
  'custom json': () => createCustomProvider({ ...own, output: { json: '/result' } }),
  'custom ndjson with everything': () =>
    createCustomProvider({
      ...own,
      args: ['--resume={{sessionId}}', '--in={{cwd}}'],
      output: {
        ndjson: {
          text: '/message/content/0/text',
          session: '/session_id',
          toolName: '/item/type',
          toolId: '/item/id',
          toolInput: '/item',
          inputTokens: '/usage/input_tokens',
          outputTokens: '/usage/output_tokens',
          costUsd: '/total_cost_usd',
          error: '/error/message',
        },
      },
      success: {
        exitCodes: [0],
        pattern: 'x',
        failurePattern: 'y',
        json: { pointer: '/type', equals: 'result' },
      },
    }),
  'custom ndjson': () =>
    createCustomProvider({ ...own, output: { ndjson: { text: '/result', session: '/id' } } }),
};

/** Lines of recorded runs, of all providers: each must survive the lines of the others. */
const RECORDED = readdirSync(FIXTURES, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.jsonl') && existsSync(new URL(path, FIXTURES)))
  .flatMap((path) => readFileSync(new URL(path, FIXTURES), 'utf8').split('\n').filter(Boolean));

const EXITS: readonly Exit[] = [
  { code: 0, signal: null },
  { code: 1, signal: null },
  { code: 143, signal: null },
  { code: null, signal: 'SIGKILL' },
];

/** Numbers from 0 to below `limit`, the same for the same seed (mulberry32). */
function createRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** A line with some of its characters replaced: often still JSON, of another shape. */
function damaged(line: string, random: (limit: number) => number): string {
  const characters = [...line];
  for (let times = random(5); times >= 0; times -= 1) {
    characters[random(characters.length)] = ['', '"', '{', '0', 'null', '\u0000', '\ud800'][random(7)] ?? '';
  }
  return characters.join('');
}

/** A line with one of its values replaced by another type: JSON, but not as promised. */
function retyped(line: string, random: (limit: number) => number): string {
  const substitutes = [null, 7, 'text', [], {}, true, [null], { type: 'text' }];
  let countdown = random(40);
  return JSON.stringify(JSON.parse(line), (_, value: unknown) =>
    countdown-- === 0 ? substitutes[random(substitutes.length)] : value,
  );
}

describe.each(Object.entries(PROVIDERS))('%s', (_, create) => {
  const provider = create();
  const request = resolvedPrompt({ prompt: 'the-prompt-itself' });

  /** Feeds lines, and asks for the end again and again on the way. */
  function feed(lines: readonly string[]): { events: ExecutionEvent[]; ends: unknown[] } {
    const translator = provider.translator(request);
    const events: ExecutionEvent[] = [];
    const ends: unknown[] = [];
    for (const [index, line] of lines.entries()) {
      events.push(...translator.line(line));
      if (index % 50 === 0) ends.push(...EXITS.map((exit) => translator.end(exit, 'stderr')));
      expect(typeof translator.done).toBe('boolean');
      if (translator.hopeless !== null) expect(translator.hopeless.code in ERROR_CODES).toBe(true);
    }
    ends.push(...EXITS.map((exit) => translator.end(exit, '')));
    return { events, ends };
  }

  it('is pure: the same lines give the same events and the same end', () => {
    expect(RECORDED.length).toBeGreaterThan(0);
    expect(feed(RECORDED)).toEqual(feed(RECORDED));
    const context = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
    expect(provider.command(request, context)).toEqual(provider.command(request, context));
  });

  it('shows no text of the caller in its arguments or variables, where others could read it', () => {
    const secret = 'a-text-of-the-caller';
    const command = provider.command(
      { ...request, prompt: secret, appendSystemPrompt: secret, outputSchema: { description: secret } },
      { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' },
    );
    expect(JSON.stringify([command.args, command.env])).not.toContain(secret);
  });

  it('asks for the end without changing it', () => {
    const translator = provider.translator(request);
    const exit = { code: 0, signal: null };
    expect(translator.end(exit, '')).toEqual(translator.end(exit, ''));
  });

  it('bears every line', () => {
    const random = createRandom(20_260_101);
    const bytes = Array.from({ length: 300 }, () =>
      Buffer.from(Array.from({ length: random(200) }, () => random(256))).toString('utf8'),
    );
    const bent = RECORDED.flatMap((line) => [
      damaged(line, random),
      retyped(line, random),
      retyped(line, random),
    ]);
    const odd = [
      '',
      ' ',
      '{',
      '{}',
      'null',
      '[]',
      '"text"',
      '{"type":"from tomorrow"}',
      '{"__proto__":{"type":"result"}}',
    ];
    expect(() => feed([...odd, ...bytes, ...bent])).not.toThrow();
  });

  it('bears every line in a conversation, and writes nothing but JSON lines', () => {
    const random = createRandom(20_261_129);
    const control = provider.control?.(resolvedPrompt({ onPermissionDenied: 'ask' }), {
      promptId: 'id',
      known: [{ approvalId: 'a', callId: 'b', tool: 'Bash', input: null }],
    });
    if (control === undefined) return;
    const bent = RECORDED.flatMap((line) => [line, damaged(line, random), retyped(line, random)]);
    let written = '';
    for (const line of ['', '{', 'null', '{"id":{}}', ...bent]) {
      const step = control.line(line);
      const answers = step.asks.map(({ callId, input }) => {
        if (random(3) === 0) return control.park(callId, `approval-${callId}`).write;
        if (random(2) === 0) return control.decide(callId, { decision: 'deny', message: 'no' });
        return control.decide(callId, { decision: 'allow', input, rules: [] });
      });
      const message = control.steer({ id: 'm', text: 'More' }) ?? '';
      written += step.write + answers.join('') + message + (control.interrupt() ?? '');
    }
    for (const line of written.split('\n').filter(Boolean)) expect(() => JSON.parse(line)).not.toThrow();
    expect(written === '' || written.endsWith('\n')).toBe(true);
  });

  it('ends with an error from the table, or with none exactly when it succeeded', () => {
    for (const lines of [[], RECORDED.slice(0, 5), RECORDED]) {
      const translator = provider.translator(request);
      for (const line of lines) translator.line(line);
      for (const exit of EXITS) {
        const verdict = translator.end(exit, '');
        // claude exits with 1 because of its last turn, which may not be the prompt's.
        const ofLastTurn = lines === RECORDED && exit.code === 1;
        if (exit.code !== 0 && !ofLastTurn) expect(verdict.error).not.toBeNull();
        if (verdict.error !== null) expect(verdict.error.code in ERROR_CODES).toBe(true);
        expect(typeof verdict.text).toBe('string');
      }
    }
  });

  it('keeps the prompt out of the arguments and the environment', () => {
    const { args, stdin, env } = provider.command(request, {
      nativeSessionId: null,
      trustedWorkspace: true,
      scratchDir: '/scratch',
    });
    expect(JSON.stringify([args, env])).not.toContain('the-prompt-itself');
    // codex app-server gets its prompt once it has opened the thread.
    const control = provider.control?.(request, { promptId: 'id', known: [] });
    const later = RECORDED.map((line) => control?.line(line).write ?? '').join('');
    expect(stdin + later).toContain('the-prompt-itself');
  });

  it('refuses to ask a person exactly if it cannot', () => {
    const refused = provider
      .unsupported({ ...request, onPermissionDenied: 'ask' })
      .map(({ option }) => option);
    expect(refused).toEqual(provider.capabilities.approvals ? [] : ['onPermissionDenied']);
    if (provider.capabilities.approvals || provider.capabilities.steer)
      expect(provider.control).toBeDefined();
  });

  it('supports a plain prompt, names a binary, and asks for no denied variable', () => {
    expect(provider.unsupported(request)).toEqual([]);
    expect(provider.binaries.length).toBeGreaterThan(0);
    expect(provider.envNames.filter(isDeniedName)).toEqual([]);
    expect(provider.capabilities.permissionModes).toContain('default');
  });
});
