import { existsSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Step } from '../../fakes/fake-cli-steps.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt, journalOf, readJournal } from '../../helpers/fake-cli.ts';
import { bench, type Started } from './harness.ts';

const shapes = ({ lines }: Started): string[] =>
  lines.map(({ line }) => {
    const { type, subtype, event, message } = JSON.parse(line);
    return [type, subtype ?? event?.type ?? message?.content?.[0]?.type].filter(Boolean).join('/');
  });

const lastLine = ({ lines }: Started) => JSON.parse(lines.at(-1)?.line ?? 'null');

describe('the fake CLI', () => {
  it('answers a plain prompt as claude would', async () => {
    const cli = await bench().fake('hello\n');
    expect(await cli.process.ended).toMatchObject({ code: 0 });
    expect(shapes(cli)).toEqual([
      'system/init',
      'stream_event/message_start',
      'stream_event/content_block_start',
      'stream_event/content_block_delta',
      'assistant/text',
      'stream_event/content_block_stop',
      'stream_event/message_delta',
      'stream_event/message_stop',
      'result/success',
    ]);
    expect(lastLine(cli)).toMatchObject({
      is_error: false,
      result: 'fake: hello',
      total_cost_usd: 0.01,
      model_usage_since_last_result: { 'fake-model': { costUSD: 0.01 } },
    });
  });

  it('keeps the session it resumes', async () => {
    const { fake, journal } = bench();
    const cli = await fake('hello', { args: ['-p', '--resume=abc'] });
    await cli.process.ended;
    expect(lastLine(cli)).toMatchObject({ session_id: 'abc' });
    expect(journalOf(journal, 'start')).toMatchObject([{ resume: 'abc', sessionId: 'abc' }]);
  });

  it('obeys its steps', async () => {
    const { fake, dir } = bench();
    const steps: Step[] = [
      { delta: 'one' },
      { tool: { name: 'Bash', input: {}, during: [{ touch: `${dir}/a` }, { waitFor: `${dir}/b` }] } },
      { deltas: { count: 3, text: '.' } },
      { line: '{"type":"unknown"}' },
      { result: { is_error: true, subtype: 'error_during_execution' } },
    ];
    const cli = await fake(fakePrompt(steps));
    await eventually(() => existsSync(`${dir}/a`) && shapes(cli).at(-1) === 'assistant/tool_use');
    writeFileSync(`${dir}/b`, '');
    expect(await cli.process.ended).toMatchObject({ code: 1 });
    expect(shapes(cli).filter((shape) => !shape.startsWith('stream_event'))).toEqual([
      'system/init',
      'assistant/text',
      'assistant/tool_use',
      'user/tool_result',
      'unknown',
      'assistant/text',
      'result/error_during_execution',
    ]);
    expect(lastLine(cli)).toMatchObject({ result: '...', is_error: true });
  });

  it('prints its version and writes no journal for that', async () => {
    const { fake, journal } = bench();
    const cli = await fake('', { args: ['--version'] });
    await cli.process.ended;
    expect(cli.lines.map(({ line }) => line)).toEqual(['9.9.9 (Fake CLI)']);
    expect(readJournal(journal)).toEqual([]);
  });
});
