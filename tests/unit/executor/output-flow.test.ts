import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createOutputFlow } from '../../../src/executor/watches.ts';

describe('the flow of output', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    expect(vi.getTimerCount(), 'timers left').toBe(0);
    vi.useRealTimers();
  });

  function setUp(limits: Partial<Parameters<typeof createOutputFlow>[0]> = {}) {
    const calls: string[] = [];
    const flow = createOutputFlow({
      child: { pauseOutput: () => void calls.push('pause'), resumeOutput: () => void calls.push('resume') },
      maxOutputBytes: 1000,
      maxEvents: 1000,
      maxEventsPerSecond: 10,
      onExceeded: () => void calls.push('exceeded'),
      ...limits,
    });
    const events = (count: number): void => {
      for (let i = 0; i < count; i += 1) flow.sawEvent();
    };
    return { flow, calls, events };
  }

  it('as many bytes as allowed are fine, one more ends it', () => {
    const { flow, calls } = setUp();
    flow.sawBytes(999);
    flow.sawBytes(1);
    expect(calls).toEqual([]);
    flow.sawBytes(1);
    expect(calls).toEqual(['exceeded']);
    flow.clear();
  });

  it('as many events as allowed are fine, one more ends it', () => {
    const { flow, calls, events } = setUp({ maxEvents: 5 });
    events(5);
    expect(calls).toEqual([]);
    events(1);
    expect(calls).toEqual(['exceeded']);
    flow.clear();
  });

  it('events that come too fast stop the reading until the second is over', () => {
    const { flow, calls, events } = setUp();
    events(10);
    expect(calls).toEqual([]);
    vi.advanceTimersByTime(300);
    events(3);
    expect(calls).toEqual(['pause']);
    vi.advanceTimersByTime(699);
    expect(calls).toEqual(['pause']);
    vi.advanceTimersByTime(2);
    expect(calls).toEqual(['pause', 'resume']);
    events(9);
    expect(calls).toEqual(['pause', 'resume']);
    flow.clear();
  });

  it('a steady stream at the allowed rate is never slowed', () => {
    const { flow, calls, events } = setUp();
    for (let second = 0; second < 20; second += 1) {
      events(10);
      vi.advanceTimersByTime(1000);
    }
    expect(calls).toEqual([]);
    flow.clear();
  });

  it('a sink that lags stops the reading until it has caught up', () => {
    const { flow, calls } = setUp();
    flow.sinkControl.pause();
    vi.advanceTimersByTime(100_000);
    expect(calls).toEqual(['pause']);
    flow.sinkControl.resume();
    expect(calls).toEqual(['pause', 'resume']);
    flow.clear();
  });

  it('who holds the reading for two reasons goes on when both are over, in either order', () => {
    for (const sinkFirst of [true, false]) {
      const { flow, calls, events } = setUp();
      events(11);
      flow.sinkControl.pause();
      if (sinkFirst) flow.sinkControl.resume();
      else vi.advanceTimersByTime(1001);
      expect(calls).not.toContain('resume');
      if (sinkFirst) vi.advanceTimersByTime(1001);
      else flow.sinkControl.resume();
      expect(calls.filter((call) => call === 'resume')).toHaveLength(1);
      flow.clear();
    }
  });

  it('leaves no timer behind when the CLI is gone', () => {
    const { flow, events } = setUp();
    events(11);
    flow.clear();
    expect(vi.getTimerCount()).toBe(0);
  });
});
