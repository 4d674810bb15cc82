/**
 * Made-up runs of each CLI, the same for the same seed: their lines, and the verdict they must
 * have.
 */
import type { TokenCounts } from '../../../src/protocol/outcome.ts';
import { createAnthropicProvider } from '../../../src/providers/anthropic-sdk/provider.ts';
import { createClaudeProvider } from '../../../src/providers/claude/provider.ts';
import { createCodexProvider } from '../../../src/providers/codex/provider.ts';
import { createCursorProvider } from '../../../src/providers/cursor/provider.ts';
import { createGeminiProvider } from '../../../src/providers/gemini/provider.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { builtInOptions, PROVIDER_HOST, providerSettings } from './settings.ts';

export const PROMPT_ID = '11111111-2222-4333-8444-555555555555';

/** A run that came to its end. */
export interface MadeUp {
  readonly lines: readonly object[];
  /** The answer; of a run that failed, the last thing that was said for the prompt. */
  readonly text: string;
  readonly failed: boolean;
  readonly usage: TokenCounts;
  /** The exit code of the CLI. */
  readonly code: number;
}

/** Choices that depend on the seed alone. */
export interface Dice {
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number;
}

export interface MadeUpCli {
  readonly provider: Provider;
  run(dice: Dice): MadeUp;
  /** Lines of its own that mean nothing to the outcome. */
  readonly noise: readonly object[];
}

const WORDS = ['ja', 'né', '日本', '{"a":1}', 'two\nlines', '🐂'];
const word = (dice: Dice): string => `${WORDS[dice.below(WORDS.length)]} ${dice.below(1_000_000)}`;
const tokensOf = (dice: Dice): TokenCounts => ({
  inputTokens: dice.below(900),
  outputTokens: dice.below(900),
  cacheReadTokens: dice.below(900),
  cacheWriteTokens: 0,
});
const sum = (all: readonly TokenCounts[]): TokenCounts => ({
  inputTokens: all.reduce((total, one) => total + one.inputTokens, 0),
  outputTokens: all.reduce((total, one) => total + one.outputTokens, 0),
  cacheReadTokens: all.reduce((total, one) => total + one.cacheReadTokens, 0),
  cacheWriteTokens: 0,
});
/** Returns the result of the last time. */
function repeat<T>(times: number, act: () => T): T | undefined {
  let last: T | undefined;
  for (let left = times; left > 0; left -= 1) last = act();
  return last;
}

/**
 * A run with turns of its own before and after the prompt's turn. Ids, the lifecycle of the message
 * or the origin show which is which.
 */
function claudeRun(dice: Dice): MadeUp {
  const signs = dice.below(3); // 0: ids and lifecycle, 1: lifecycle, 2: neither
  const lines: object[] = [];
  const used: TokenCounts[] = [];
  let lastFailed = false;
  const life = (state: string): void => {
    if (signs < 2) lines.push({ type: 'command_lifecycle', command_uuid: PROMPT_ID, state });
  };
  const agent = (block: object, parent: string | null = null): void => {
    const message = { id: `m${lines.length}`, content: [block] };
    lines.push({ type: 'assistant', message, parent_tool_use_id: parent });
  };
  const says = (): string => {
    const text = word(dice);
    if (dice.below(2) === 0) {
      const event = { type: 'content_block_delta', delta: { type: 'text_delta', text } };
      lines.push({ type: 'stream_event', event, parent_tool_use_id: null });
    }
    agent({ type: 'text', text });
    return text;
  };
  const calls = (): void => {
    const id = `t${lines.length}`;
    agent({ type: 'tool_use', id, name: 'Task', input: {} });
    repeat(dice.below(3), () => agent({ type: 'text', text: word(dice) }, id));
    const content = [{ type: 'tool_result', tool_use_id: id, content: word(dice) }];
    if (dice.below(4) > 0) lines.push({ type: 'user', message: { content } });
  };
  const ends = (fields: object, failed: boolean): void => {
    const tokens = tokensOf(dice);
    used.push(tokens);
    lastFailed = failed;
    const opus = {
      inputTokens: tokens.inputTokens,
      outputTokens: tokens.outputTokens,
      cacheReadInputTokens: tokens.cacheReadTokens,
      cacheCreationInputTokens: 0,
      costUSD: 0.01,
    };
    lines.push({
      type: 'result',
      subtype: 'success',
      is_error: failed,
      num_turns: 1,
      model_usage_since_last_result: { opus },
      ...fields,
    });
  };
  const begins = (): void =>
    void lines.push({ type: 'system', subtype: 'init', session_id: 's', model: 'o' });
  const ownTurn = (): void => {
    begins();
    const origin = { kind: 'task-notification' };
    if (dice.below(3) === 0) ends({ origin, result: '', num_turns: 0 }, false);
    else ends({ origin, result: says() }, dice.below(3) === 0);
  };

  life('queued');
  repeat(dice.below(3), ownTurn);
  life('started');
  begins();
  const text = repeat(1 + dice.below(3), () => {
    repeat(dice.below(2), calls);
    return says();
  });
  const failed = dice.below(5) === 0;
  const ids = signs === 0 ? { user_message_uuids: [PROMPT_ID] } : {};
  if (failed) ends({ result: 'API Error: 529', api_error_status: 529, ...ids }, true);
  else ends({ result: dice.below(4) === 0 ? '' : text, ...ids }, false);
  life('completed');
  repeat(dice.below(3), ownTurn);
  return { lines, text: text ?? '', failed, usage: sum(used), code: lastFailed ? 1 : 0 };
}

function codexRun(dice: Dice): MadeUp {
  const lines: object[] = [{ type: 'thread.started', thread_id: 't' }, { type: 'turn.started' }];
  let text = '';
  repeat(1 + dice.below(4), () => {
    const command = { id: `i${lines.length}`, type: 'command_execution', command: 'ls', status: 'completed' };
    if (dice.below(2) === 0) lines.push({ type: 'item.started', item: command });
    if (dice.below(2) === 0) lines.push({ type: 'item.completed', item: command });
    text = word(dice);
    lines.push({ type: 'item.completed', item: { id: `i${lines.length}`, type: 'agent_message', text } });
  });
  if (dice.below(4) === 0) {
    lines.push({ type: 'item.completed', item: { id: 'last', type: 'agent_message', text: ' ' } });
  }
  const usage = tokensOf(dice);
  const { inputTokens, outputTokens, cacheReadTokens } = usage;
  const failed = dice.below(5) === 0;
  if (failed)
    lines.push({ type: 'turn.failed', error: { message: 'exceeded retry limit, last status: 500' } });
  else {
    const counts = { input_tokens: inputTokens + cacheReadTokens, cached_input_tokens: cacheReadTokens };
    lines.push({ type: 'turn.completed', usage: { ...counts, output_tokens: outputTokens } });
  }
  return { lines, text, failed, usage: failed ? sum([]) : usage, code: failed ? 1 : 0 };
}

function geminiRun(dice: Dice): MadeUp {
  const lines: object[] = [
    { type: 'init', session_id: 's', model: 'm' },
    { type: 'message', role: 'user', content: 'go' },
  ];
  let text = '';
  repeat(1 + dice.below(3), () => {
    const tool_id = `t${lines.length}`;
    lines.push({ type: 'tool_use', tool_name: 'read_file', tool_id, parameters: {} });
    if (dice.below(4) > 0)
      lines.push({ type: 'tool_result', tool_id, status: 'success', output: word(dice) });
    const pieces = [word(dice), word(dice)];
    for (const content of pieces) lines.push({ type: 'message', role: 'assistant', content, delta: true });
    text = pieces.join('');
  });
  if (dice.below(4) === 0) {
    lines.push({ type: 'tool_use', tool_name: 'read_file', tool_id: 'last', parameters: {} });
    lines.push({ type: 'message', role: 'assistant', content: '\n', delta: true });
  }
  const usage = tokensOf(dice);
  const stats = {
    total_tokens: usage.inputTokens + usage.cacheReadTokens + usage.outputTokens,
    input_tokens: usage.inputTokens + usage.cacheReadTokens,
    output_tokens: usage.outputTokens,
    cached: usage.cacheReadTokens,
    input: usage.inputTokens,
  };
  const failed = dice.below(5) === 0;
  lines.push({ type: 'result', status: failed ? 'error' : 'success', stats });
  return { lines, text, failed, usage, code: failed ? 1 : 0 };
}

function cursorRun(dice: Dice): MadeUp {
  const lines: object[] = [{ type: 'system', subtype: 'init', session_id: 's', model: 'm' }];
  const said: string[] = [];
  let text = '';
  repeat(1 + dice.below(3), () => {
    const call = {
      type: 'tool_call',
      call_id: `c${lines.length}`,
      tool_call: { readToolCall: { args: {} } },
    };
    lines.push({ ...call, subtype: 'started' });
    if (dice.below(4) > 0) lines.push({ ...call, subtype: 'completed' });
    text = word(dice);
    said.push(text);
    lines.push({ type: 'assistant', message: { content: [{ type: 'text', text }] } });
  });
  const usage = tokensOf(dice);
  const failed = dice.below(5) === 0;
  const empty = dice.below(4) === 0;
  const result = failed ? 'it failed' : empty ? '' : text;
  if (empty) text = said.join('\n\n');
  lines.push({ type: 'result', subtype: failed ? 'error' : 'success', is_error: failed, result, usage });
  return { lines, text, failed, usage, code: failed ? 1 : 0 };
}

function anthropicRun(dice: Dice): MadeUp {
  const usage = tokensOf(dice);
  const text = word(dice);
  const counts = { input_tokens: usage.inputTokens, cache_read_input_tokens: usage.cacheReadTokens };
  const failed = dice.below(5) === 0;
  const lines: object[] = [
    { type: 'message_start', message: { model: 'm', usage: { ...counts, output_tokens: 0 } } },
    { type: 'content_block_start', index: 0 },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', usage: { output_tokens: usage.outputTokens } },
    failed
      ? { type: 'error', status: 500, errorType: 'api_error', message: 'no', resetsAt: null }
      : { type: 'result', text, model: 'm', stop_reason: 'end_turn', usage: {} },
  ];
  return { lines, text, failed, usage, code: failed ? 1 : 0 };
}

function customRun(dice: Dice): MadeUp {
  const pieces = Array.from({ length: 1 + dice.below(4) }, () => word(dice));
  const usage = { ...tokensOf(dice), cacheReadTokens: 0 };
  const failed = dice.below(5) === 0;
  const lines: object[] = pieces.flatMap((text) =>
    dice.below(2) === 0 ? [{ tool: 'ls' }, { text }] : [{ text }],
  );
  lines.push({ input: usage.inputTokens, output: usage.outputTokens });
  if (failed) lines.push({ error: 'no' });
  return { lines, text: pieces.join(''), failed, usage, code: failed ? 1 : 0 };
}

/** Its end is its exit: it has no last word. */
export const CUSTOM = createProviders(
  providerSettings({
    custom: {
      own: {
        binary: 'own',
        output: {
          ndjson: {
            text: '/text',
            toolName: '/tool',
            inputTokens: '/input',
            outputTokens: '/output',
            error: '/error',
          },
        },
      },
    },
  }),
  PROVIDER_HOST,
).get('own').provider;

export const MADE_UP_CLIS: readonly MadeUpCli[] = [
  {
    provider: createClaudeProvider(builtInOptions()),
    run: claudeRun,
    noise: [
      { type: 'command_lifecycle', command_uuid: 'another', state: 'completed' },
      { type: 'system', subtype: 'task_notification', task_id: 't', status: 'stopped' },
      { type: 'system', subtype: 'status', status: 'requesting' },
      { type: 'rate_limit_event', rate_limit_info: { status: 'allowed' } },
      { type: 'result', subtype: 7, is_error: 'no' },
    ],
  },
  {
    provider: createCodexProvider(builtInOptions()),
    run: codexRun,
    noise: [
      { type: 'error', message: 'Reconnecting... 1/5 (stream closed)' },
      { type: 'item.completed', item: { id: 'w', type: 'error', message: 'no such metadata' } },
      { type: 'item.updated', item: { id: 'w', type: 'todo_list' } },
    ],
  },
  {
    provider: createGeminiProvider(builtInOptions()),
    run: geminiRun,
    noise: [{ type: 'result' }, { type: 'message', role: 'system', content: 'x' }],
  },
  {
    provider: createCursorProvider(builtInOptions()),
    run: cursorRun,
    noise: [
      { type: 'user', message: { content: [] } },
      { type: 'thinking', subtype: 'delta', text: 'hm' },
    ],
  },
  {
    provider: createAnthropicProvider(builtInOptions()),
    run: anthropicRun,
    noise: [{ type: 'ping' }, { type: 'retry', retry: 1, maxRetries: 2, status: 529 }],
  },
  { provider: CUSTOM, run: customRun, noise: [{ tool: 'late' }, { text: null }] },
];
