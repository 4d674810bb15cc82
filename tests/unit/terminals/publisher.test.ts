import { describe, expect, it, onTestFinished } from 'vitest';
import { createPublisher, type Publisher } from '../../../src/terminals/publisher.ts';
import { FakeTerminalRecords } from '../../fakes/terminal-records.ts';
import { eventually } from '../../helpers/eventually.ts';

const ID = 'session';

/** A publisher whose pauses end when the test lets them, and whose clock the test moves. */
function setup() {
  const records = new FakeTerminalRecords();
  const clock = { at: 1000 };
  const seen = { drains: 0, gone: 0, screens: 0 };
  let pauses: (() => void)[] = [];
  const publisher: Publisher = createPublisher({
    sessionId: ID,
    records,
    screen() {
      seen.screens += 1;
      return { size: { cols: 80, rows: 24 }, data: Buffer.from('the screen') };
    },
    now: () => clock.at,
    pause: (_, signal) =>
      new Promise((resolve) => {
        pauses.push(resolve);
        signal.addEventListener('abort', () => resolve());
      }),
    onDrain: () => {
      seen.drains += 1;
    },
    onGone: () => {
      seen.gone += 1;
    },
  });
  onTestFinished(() => publisher.stop());
  /** Waits until the publisher waits for Redis, then lets it try again. */
  const tryAgain = async (): Promise<void> => {
    await eventually(() => pauses.length > 0);
    const due = pauses;
    pauses = [];
    for (const resume of due) resume();
  };
  const waits = (): Promise<boolean> => eventually(() => pauses.length > 0);
  return { records, clock, seen, publisher, tryAgain, waits };
}

function latch() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, open: resolve };
}

const outputs = (records: FakeTerminalRecords) =>
  records
    .of(ID)
    .map((event) => ('data' in event ? Buffer.from(event.data, 'base64').toString() : event.kind));

describe('the publisher of a terminal', () => {
  it('appends the first bytes at once, and gathers what comes during an append', async () => {
    const { records, publisher } = setup();
    const gate = latch();
    records.gate = gate.promise;
    for (const text of ['a', 'b', 'c']) publisher.output(Buffer.from(text));
    gate.open();
    await publisher.flush();
    expect(outputs(records)).toEqual(['a', 'bc']);
    expect(records.of(ID).map((event) => 'offset' in event && event.offset)).toEqual([0, 1]);
  });

  it('lets Redis keep all events until there are too many, also those of others before its own', async () => {
    const { records, publisher } = setup();
    for (const text of ['a', 'b', 'c']) {
      publisher.output(Buffer.from(text));
      await publisher.flush();
    }
    expect(records.keepFrom).toBe(0);
  });

  it('makes events of at most 64 KiB', async () => {
    const { records, publisher } = setup();
    publisher.output(Buffer.alloc(150_000, 'x'));
    await publisher.flush();
    expect(outputs(records).map((text) => text.length)).toEqual([65_536, 65_536, 18_928]);
  });

  it('keeps the order of output and sizes', async () => {
    const { records, publisher } = setup();
    publisher.output(Buffer.from('a'));
    publisher.resized({ cols: 100, rows: 30 });
    publisher.output(Buffer.from('b'));
    await publisher.flush();
    expect(outputs(records)).toEqual(['a', 'terminal.resized', 'b']);
  });

  it('ends its event at a cut, and says which one that was', async () => {
    const { records, publisher } = setup();
    expect(await publisher.cut()).toBe(0);
    publisher.output(Buffer.from('a'));
    publisher.output(Buffer.from('b'));
    const cut = publisher.cut();
    publisher.output(Buffer.from('c'));
    const seq = await cut;
    await publisher.flush();
    const upTo = records.of(ID).filter((event) => event.seq <= (seq ?? 0));
    expect(
      upTo.map((event) => 'data' in event && Buffer.from(event.data, 'base64').toString()).join(''),
    ).toBe('ab');
    expect(await publisher.cut()).toBe(records.of(ID).at(-1)?.seq);
  });

  it('lets Redis keep about the last mebibyte', async () => {
    const { records, publisher } = setup();
    for (let n = 0; n < 40; n += 1) {
      publisher.output(Buffer.alloc(64 * 1024));
      await publisher.flush();
    }
    const kept = records.of(ID).filter((event) => event.seq >= records.keepFrom);
    const bytes = kept.reduce((sum, event) => sum + ('data' in event ? event.data.length : 0), 0);
    expect(bytes).toBeGreaterThan(900_000);
    expect(bytes).toBeLessThan(1_300_000);
  });

  it('appends in order what came while Redis was away, and lets the program go on', async () => {
    const { records, publisher, seen, tryAgain, waits } = setup();
    records.away = true;
    publisher.output(Buffer.alloc(2_000_000, 'a'));
    await waits();
    expect(publisher.isFull).toBe(false);
    expect(seen.drains).toBe(1);
    publisher.output(Buffer.from('b'));
    records.away = false;
    await tryAgain();
    await publisher.flush();
    expect(records.output(ID)).toBe(`${'a'.repeat(2_000_000)}b`);
    expect(seen.screens).toBe(0);
  });

  it('appends once what was appended although the answer got lost', async () => {
    const { records, publisher, tryAgain } = setup();
    records.lostAnswers = 1;
    publisher.output(Buffer.from('a'));
    await tryAgain();
    await publisher.flush();
    publisher.output(Buffer.from('b'));
    await publisher.flush();
    expect(outputs(records)).toEqual(['a', 'b']);
  });

  it('gives the screen instead of more than 8 MiB', async () => {
    const { records, publisher, tryAgain, waits } = setup();
    records.away = true;
    publisher.output(Buffer.from('first'));
    await waits();
    for (let n = 0; n < 9; n += 1) publisher.output(Buffer.alloc(1024 * 1024, 'x'));
    expect(await publisher.cut()).toBeNull();
    records.away = false;
    await tryAgain();
    await publisher.flush();
    publisher.output(Buffer.from('later'));
    await publisher.flush();
    expect(outputs(records)).toEqual(['first', 'the screen', 'later']);
    const [, screen, later] = records.of(ID);
    expect(screen).toMatchObject({
      kind: 'terminal.screen',
      cols: 80,
      rows: 24,
      offset: 5 + 9 * 1024 * 1024,
    });
    expect(later).toMatchObject({ offset: 5 + 9 * 1024 * 1024 });
  });

  it('is full while Redis works and more than a mebibyte waits', async () => {
    const { records, publisher, seen } = setup();
    const gate = latch();
    records.gate = gate.promise;
    publisher.output(Buffer.alloc(1_500_000));
    expect(publisher.isFull).toBe(true);
    gate.open();
    await publisher.flush();
    expect(publisher.isFull).toBe(false);
    expect(seen.drains).toBe(1);
  });

  it('begins again with the screen after Redis had lost the record', async () => {
    const { records, publisher, tryAgain, waits } = setup();
    publisher.output(Buffer.from('a'));
    await publisher.flush();
    records.missing = true;
    publisher.output(Buffer.from('b'));
    await waits();
    records.missing = false;
    await tryAgain();
    await publisher.flush();
    expect(outputs(records)).toEqual(['a', 'b', 'the screen']);
  });

  it('reports a record that does not come back within two minutes', async () => {
    const { records, clock, publisher, seen, tryAgain, waits } = setup();
    records.missing = true;
    publisher.output(Buffer.from('a'));
    const cut = publisher.cut();
    await waits();
    clock.at += 119_000;
    await tryAgain();
    await waits();
    expect(seen.gone).toBe(0);
    clock.at += 2000;
    await tryAgain();
    expect(await cut).toBeNull();
    expect(seen.gone).toBe(1);
  });
});
