import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { earlierExecutions, hasPrompt } from '../../../src/executor/earlier.ts';
import { lostOutcome } from '../../../src/executor/outcomes.ts';
import type { EventBody, StoredEvent } from '../../../src/protocol/event.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';
import { createClaudeProvider } from '../../../src/providers/claude/provider.ts';
import { createCodexProvider } from '../../../src/providers/codex/provider.ts';
import { createGeminiProvider } from '../../../src/providers/gemini/provider.ts';
import { executionStarted as started } from '../../fakes/job-samples.ts';
import { tempDir } from '../../helpers/temp.ts';
import { builtInOptions } from '../providers/settings.ts';

const claude = createClaudeProvider(builtInOptions());
const codex = createCodexProvider(builtInOptions());
const gemini = createGeminiProvider(builtInOptions());
const SESSION = '00000000-0000-4000-8000-000000000001';
const T0 = Date.parse('2026-11-29T05:00:00.000Z');

const session = (nativeSessionId: string, sessionId: string | null = 'S'): EventBody => ({
  ...{ kind: 'session', sessionId, nativeSessionId, model: null },
});
const text: EventBody = { kind: 'text', text: 'hi' };
const finished = (changed: Partial<Outcome> = {}): EventBody => ({
  kind: 'execution.finished',
  executionId: 'E',
  outcome: { ...lostOutcome('E'), ...changed },
});

/** One event a second; each list is an attempt. */
function history(...attempts: readonly (readonly EventBody[])[]) {
  const events = attempts.flatMap((bodies, index) => bodies.map((body) => ({ body, attempt: index + 1 })));
  const stored = events.map(({ body, attempt }, index): StoredEvent => {
    const at = new Date(T0 + index * 1000).toISOString();
    return { seq: index + 1, jobId: 'J', attempt, at, raw: null, ...body };
  });
  const read = async (_: string, after: number, limit: number) => stored.slice(after, after + limit);
  return earlierExecutions({ jobId: 'J', attempt: attempts.length + 1 }, read, claude);
}

describe('what earlier executions leave', () => {
  it('is the session of this provider, and whether that has the prompt', async () => {
    expect(await history([started, session('a'), finished()])).toMatchObject({
      nativeSessionId: 'a',
      asked: false,
    });
    expect(await history([started, session('a'), text, finished()])).toMatchObject({
      asked: true,
      since: T0,
    });
    expect(await history([{ ...started, provider: 'codex' }, session('a'), text])).toMatchObject({
      ...{ nativeSessionId: null, asked: false },
    });
    expect(await history([started, session('a', null), finished()])).toMatchObject({ nativeSessionId: null });
  });

  it('is nothing of a session that another one has replaced', async () => {
    const found = await history(
      [started, session('a'), text, finished()],
      [started, session('b'), finished()],
    );
    expect(found).toMatchObject({ nativeSessionId: 'b', asked: false });
  });

  it('is what they used of the limits, without the time between them and after a crash', async () => {
    const usage = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 0, cacheWriteTokens: 0, costUsd: 0.1 };
    const ran = { durationMs: 700, turns: 2, usage: { ...usage, costBasis: 'reported' } } as const;
    // The second one was lost: of its seconds only the one between its events counts.
    expect(await history([started, finished(ran)], [started, session('a'), finished()])).toMatchObject({
      ...{ ranMs: 1700, turns: 2, usage: { costUsd: 0.1 } },
    });
  });

  it('is of a lost one the turns and the usage that its events show', async () => {
    const tool = (toolId: string): readonly EventBody[] => [
      { kind: 'tool.started', toolId, name: 'T', input: null },
      { kind: 'tool.ended', toolId, name: 'T', isError: false, output: '' },
    ];
    const delta: EventBody = { kind: 'text.delta', text: 'h' };
    const [agent, ended] = tool('agent') as [EventBody, EventBody];
    const tokens = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 0, cacheWriteTokens: 0 };
    const usage: EventBody = { kind: 'usage', usage: { ...tokens, costUsd: 0.1, costBasis: 'reported' } };
    const parallel = [...tool('a'), ...tool('b')].toSorted((a, b) => b.kind.localeCompare(a.kind));
    const lost = [
      ...[started, session('a'), delta, text, ...parallel], // 1
      ...[text, agent, ...tool('c'), ...tool('d'), ended], // 2; the agent's own do not count
      ...[delta, usage, finished()], // 3
    ];
    expect(await history(lost)).toMatchObject({ turns: 3, usage: { costUsd: 0.1 } });
    // It was refused before its CLI started, and the CLI's own count wins.
    expect(await history(lost, [finished()], [started, text, finished({ turns: 7 })])).toMatchObject({
      turns: 10,
    });
  });

  it('is not known when the events cannot be read: the prompt must not be sent again', async () => {
    const away = () => Promise.reject(new Error('Redis is away'));
    await expect(earlierExecutions({ jobId: 'J', attempt: 2 }, away, claude)).rejects.toThrow('away');
  });

  it('is nothing of the attempt itself, or without events', async () => {
    expect(await history()).toMatchObject({ nativeSessionId: null, ranMs: 0, usage: null });
  });
});

describe("the CLI's transcript shows a saved prompt", () => {
  const at = (ms: number): string => new Date(T0 + ms).toISOString();
  const claudeLine = (content: string, ms: number) => ({
    ...{ type: 'user', timestamp: at(ms), message: { role: 'user', content } },
  });
  const codexLine = (content: string, ms: number) => ({
    timestamp: at(ms),
    type: 'response_item',
    payload: { type: 'message', role: 'user', content: [{ type: 'input_text', text: content }] },
  });
  const geminiLine = (content: string, ms: number) => ({
    ...{ id: 'x', type: 'user', timestamp: at(ms), content: [{ text: content }] },
  });
  const CASES = [
    { provider: claude, file: `.claude/projects/-ws/${SESSION}.jsonl`, line: claudeLine },
    { provider: codex, file: `.codex/sessions/2026/11/29/rollout-2026-${SESSION}.jsonl`, line: codexLine },
    {
      provider: gemini,
      file: `.gemini/tmp/ws/chats/session-2026-${SESSION.slice(0, 8)}.jsonl`,
      line: geminiLine,
    },
  ];

  function saved(file: string, lines: readonly unknown[], provider: typeof claude): Promise<boolean | null> {
    const home = tempDir();
    mkdirSync(dirname(join(home, file)), { recursive: true });
    // The last line was cut by a kill.
    writeFileSync(join(home, file), `${lines.map((line) => JSON.stringify(line)).join('\n')}\n{"type":"us`);
    return hasPrompt(provider, { HOME: home }, { nativeSessionId: SESSION, prompt: 'Do it.\n', since: T0 });
  }

  it.each(CASES)('of $provider.name', async ({ provider, file, line }) => {
    expect(await saved(file, [line('Do it.', 1)], provider)).toBe(true);
    expect(await saved(file, [line('Another.', 1)], provider)).toBe(false);
    expect(await saved(file, [line('Do it.', -1)], provider), 'an earlier job asked the same').toBe(false);
    expect(await saved('elsewhere.jsonl', [line('Do it.', 1)], provider)).toBeNull();
  });

  it('unless the CLI took it back', async () => {
    const [, , { file }] = CASES as [unknown, unknown, (typeof CASES)[number]]; // there are three
    const back = { $set: { messages: [geminiLine('Hello', 0)] } };
    expect(await saved(file, [geminiLine('Do it.', 1), back], gemini)).toBe(false);
    expect(await saved(file, [back, geminiLine('Do it.', 1)], gemini)).toBe(true);
  });
});
