import { expect, it } from 'vitest';
import { type PlayOptions, play } from '../../../src/cli/play.ts';

const RECORDING = [
  '{"version":2,"width":80,"height":24}',
  '[0.5,"o","$ "]',
  '[1,"r","100x30"]',
  '[2,"o","\\u001b[?1049hvim"]',
  '[2.001,"o","!"]',
  '[99,"o","end"]',
];

/** Plays on a clock of its own. */
async function played(options: Partial<PlayOptions> = {}, recording: readonly string[] = RECORDING) {
  const seen: string[] = [];
  let clock = 0;
  async function* lines() {
    yield* recording;
  }
  await play(lines(), {
    person: {
      write: async (data) => void seen.push(`${clock} ${Buffer.from(data).toString()}`),
    },
    speed: 1,
    idleLimitMs: 10_000,
    signal: new AbortController().signal,
    now: () => clock,
    async sleep(ms, signal) {
      signal.throwIfAborted();
      clock += ms;
    },
    ...options,
  });
  return seen;
}

it('a recording is written at its times, pauses are cut, and the terminal is reset', async () => {
  const seen = await played();
  expect(seen.slice(0, 4)).toEqual(['500 $ ', '2000 \u001b[?1049hvim', '2000 !', '12001 end']);
  expect(seen[4]).toContain('\u001b[?1049l');
});

it('it is played faster, with shorter pauses', async () => {
  const seen = await played({ speed: 2, idleLimitMs: 1000 });
  expect(seen.slice(0, 4)).toEqual(['250 $ ', '1000 \u001b[?1049hvim', '1000 !', '1500.5 end']);
});

it('the terminal is reset when it is stopped', async () => {
  const stop = new AbortController();
  const seen: string[] = [];
  const person = {
    async write(data: string | Uint8Array) {
      seen.push(String(Buffer.from(data)));
      if (seen.length === 2) stop.abort(new Error('q'));
    },
  };
  await expect(played({ person, signal: stop.signal })).rejects.toThrow('q');
  expect(seen).toHaveLength(3);
  expect(seen[2]).toContain('\u001b[?1049l');
});

it('what is no event of a recording is left out', async () => {
  const damaged = ['', 'no JSON', '{}', '7', 'null', '[]', '["0","o","a"]', '[1,"o",5]', '[1e999,"o","a"]'];
  const cut = RECORDING[1]?.slice(0, -3) ?? '';
  const seen = await played({}, [...damaged, ...RECORDING.slice(0, 2), cut]);
  expect(seen.slice(0, -1)).toEqual(['500 $ ']);
});
