import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createDeadlines } from '../../../src/executor/deadlines.ts';

const started = (toolId: string) => ({ kind: 'tool.started', toolId, name: 'Bash', input: {} }) as const;
const ended = (toolId: string) =>
  ({ kind: 'tool.ended', toolId, name: 'Bash', isError: false, output: '' }) as const;

describe('the deadlines of an execution', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    expect(vi.getTimerCount(), 'timers left').toBe(0);
    vi.useRealTimers();
  });

  function setUp(timeoutMs = 10_000, idleTimeoutMs = 1000, busy?: () => boolean) {
    const stops: string[] = [];
    const deadlines = createDeadlines({
      timeoutMs,
      idleTimeoutMs,
      ...(busy === undefined ? {} : { busy }),
      stop: (reason) => void stops.push(reason),
    });
    return { deadlines, stops };
  }

  it('the run time counts from the start, with and without output', () => {
    const { deadlines, stops } = setUp();
    for (let at = 500; at < 10_000; at += 500) {
      vi.advanceTimersByTime(500);
      deadlines.sawOutput();
    }
    expect(stops).toEqual([]);
    vi.advanceTimersByTime(500);
    expect(stops).toEqual(['timed_out']);
    deadlines.clear();
  });

  it('silence counts from the last output', () => {
    const { deadlines, stops } = setUp();
    vi.advanceTimersByTime(900);
    deadlines.sawOutput();
    vi.advanceTimersByTime(950);
    expect(stops).toEqual([]);
    vi.advanceTimersByTime(51);
    expect(stops).toEqual(['idle']);
    deadlines.clear();
  });

  it('silence that was never broken ends it after its time', () => {
    const { deadlines, stops } = setUp();
    vi.advanceTimersByTime(999);
    expect(stops).toEqual([]);
    vi.advanceTimersByTime(2);
    expect(stops).toEqual(['idle']);
    deadlines.clear();
  });

  it('silence does not count while a tool runs, and counts again after the last one ended', () => {
    const { deadlines, stops } = setUp();
    deadlines.sawEvent(started('a'));
    deadlines.sawEvent(started('b'));
    vi.advanceTimersByTime(5000);
    deadlines.sawEvent(ended('a'));
    vi.advanceTimersByTime(3000);
    expect(stops).toEqual([]);
    deadlines.sawOutput();
    deadlines.sawEvent(ended('b'));
    vi.advanceTimersByTime(950);
    expect(stops).toEqual([]);
    vi.advanceTimersByTime(60);
    expect(stops).toEqual(['idle']);
    deadlines.clear();
  });

  it('silence counts again when the model goes on, also when a tool never ended', () => {
    const { deadlines, stops } = setUp();
    deadlines.sawEvent(started('a'));
    deadlines.sawEvent(started('b'));
    deadlines.sawEvent({ kind: 'text.delta', text: '\n' });
    vi.advanceTimersByTime(5000);
    expect(stops).toEqual([]);
    deadlines.sawOutput();
    deadlines.sawEvent({ kind: 'text.delta', text: 'y' });
    vi.advanceTimersByTime(1001);
    expect(stops).toEqual(['idle']);
    deadlines.clear();
  });

  it('silence does not count while the CLI reports that it is busy, with and without open tools', () => {
    let busy = true;
    const { deadlines, stops } = setUp(10_000, 1000, () => busy);
    vi.advanceTimersByTime(3000);
    expect(stops).toEqual([]);
    busy = false;
    deadlines.sawEvent(started('a'));
    vi.advanceTimersByTime(1001);
    expect(stops).toEqual(['idle']);
    deadlines.clear();
  });

  it('the end of a tool that was not started changes nothing', () => {
    const { deadlines, stops } = setUp();
    deadlines.sawEvent(ended('x'));
    deadlines.sawEvent({ kind: 'text', text: 'y' });
    vi.advanceTimersByTime(1001);
    expect(stops).toEqual(['idle']);
    deadlines.clear();
  });

  it('a CLI that stays after its last word is ended, unless it goes on', () => {
    const { deadlines, stops } = setUp(100_000, 100_000);
    deadlines.linger(500);
    vi.advanceTimersByTime(400);
    deadlines.linger(null);
    vi.advanceTimersByTime(1000);
    expect(stops).toEqual([]);
    deadlines.linger(500);
    deadlines.linger(500);
    vi.advanceTimersByTime(500);
    expect(stops).toEqual(['lingered']);
    deadlines.clear();
  });

  it('stand still while a person is asked', () => {
    const { deadlines, stops } = setUp(10_000, 1000);
    vi.advanceTimersByTime(900);
    deadlines.hold(true);
    vi.advanceTimersByTime(500_000);
    expect(stops).toEqual([]);
    deadlines.hold(false);
    vi.advanceTimersByTime(999);
    expect(stops).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(stops).toEqual(['idle']);
    deadlines.clear();
  });

  it('the run time goes on where it stood when a person was asked', () => {
    const { deadlines, stops } = setUp(10_000, 1_000_000);
    vi.advanceTimersByTime(4000);
    deadlines.hold(true);
    vi.advanceTimersByTime(500_000);
    deadlines.hold(false);
    vi.advanceTimersByTime(5999);
    expect(stops).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(stops).toEqual(['timed_out']);
    deadlines.clear();
    deadlines.hold(true);
    deadlines.hold(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('nothing happens after they were cleared', () => {
    const { deadlines, stops } = setUp();
    deadlines.linger(500);
    deadlines.clear();
    deadlines.sawOutput();
    vi.advanceTimersByTime(1_000_000);
    expect(stops).toEqual([]);
  });
});
