import { describe, expect, it } from 'vitest';
import { createOutputMeter, type OutputExcess } from '../../../../src/executor/process/limits.ts';

function meterWith(limits: { maxOutputBytes: number; maxEventsPerSecond?: number }) {
  const reported: OutputExcess[] = [];
  const clock = { nowMs: 0 };
  const meter = createOutputMeter({
    ...limits,
    onExceeded: (excess) => reported.push(excess),
    now: () => clock.nowMs,
  });
  return { meter, reported, clock };
}

describe('the output meter', () => {
  it('says once that too many bytes were written', () => {
    const { meter, reported } = meterWith({ maxOutputBytes: 10 });
    meter.bytes(6);
    meter.bytes(4);
    expect(meter.exceeded).toBeNull();
    meter.bytes(1);
    meter.bytes(100);
    expect(reported).toEqual(['bytes']);
    expect(meter.exceeded).toBe('bytes');
    expect(meter.totalBytes).toBe(111);
  });

  it('says that too many events came within one second', () => {
    const { meter, reported, clock } = meterWith({ maxOutputBytes: 10, maxEventsPerSecond: 3 });
    for (let second = 0; second < 5; second += 1) {
      clock.nowMs = second * 1000;
      for (let i = 0; i < 3; i += 1) meter.event();
    }
    expect(reported).toEqual([]);
    meter.event();
    expect(reported).toEqual(['events']);
  });

  it('does not count events when no cap was set', () => {
    const { meter, reported } = meterWith({ maxOutputBytes: 10 });
    for (let i = 0; i < 10_000; i += 1) meter.event();
    expect(reported).toEqual([]);
  });
});
