import { expect, test } from 'vitest';
import { IDLE_MS, playTimeOf, recordingOf } from '../../../src/page/screens/terminals/recording.ts';

const HEADER = '{"version":2,"width":100,"height":30,"timestamp":1795608000}';

test('a recording has its size, its start and its moments', () => {
  const recording = recordingOf([HEADER, '[0.5,"o","a"]', '[1,"r","80x24"]', '[1.5,"o","b"]']);
  expect(recording).toEqual({
    size: { cols: 100, rows: 30 },
    startedAt: 1_795_608_000_000,
    moments: [
      { at: 500, realMs: 500, output: 'a', size: null },
      { at: 1000, realMs: 1000, output: null, size: { cols: 80, rows: 24 } },
      { at: 1500, realMs: 1500, output: 'b', size: null },
    ],
    duration: 1500,
    realMs: 1500,
  });
});

test('long pauses are shortened, and a real time is found in what is left', () => {
  const recording = recordingOf([HEADER, '[1,"o","a"]', '[61,"o","b"]', '[62,"o","c"]']);
  expect(recording.moments.map(({ at }) => at)).toEqual([1000, 1000 + IDLE_MS, 2000 + IDLE_MS]);
  expect(recording.realMs).toBe(62_000);
  expect(playTimeOf(recording, 500)).toBe(500);
  expect(playTimeOf(recording, 1500)).toBe(1500);
  expect(playTimeOf(recording, 40_000)).toBe(1000 + IDLE_MS);
  expect(playTimeOf(recording, 61_500)).toBe(1500 + IDLE_MS);
  expect(playTimeOf(recording, 1_000_000)).toBe(recording.duration);
  expect(playTimeOf(recording, -5)).toBe(0);
});

test('what is not a line of asciicast is left out', () => {
  const lines = ['', 'null', '7', '[]', '["x","o","a"]', '[1,"o",5]', '[1,"r","0x5"]', '[2,"o","a"'];
  expect(recordingOf(lines)).toMatchObject({ size: { cols: 80, rows: 24 }, duration: 1000 });
  expect(recordingOf(lines).moments).toEqual([{ at: 1000, realMs: 1000, output: null, size: null }]);
});
