import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TerminalAnswers } from '../../../src/protocol/terminal.ts';
import type { StoredTerminalEvent } from '../../fakes/terminal-records.ts';
import { random } from '../../helpers/random.ts';
import { feed, stateOf, terminalOf } from '../../unit/terminals/screen-state.ts';
import { openHost } from './open-host.ts';

const JOINS = 200;
/** Colours, wide characters, wrapped lines, scroll regions, redraws, until a file `stop` exists. */
const PROGRAM = `
i=0
until [ -e stop ]; do
  sleep 0.002
  i=$((i + 1))
  printf '\\033[3%sm%s wörld 漢字 👍 \\033[m' $((i % 8)) $i
  [ $((i % 7)) = 0 ] && printf 'long line %s ' $i $i $i $i $i $i $i $i $i $i
  echo
  [ $((i % 40)) = 0 ] && printf '\\033[3J\\033[?1049h\\033[2J\\033[5;10Hfull %s' $i
  [ $((i % 40)) = 9 ] && printf '\\033[?1049l'
  [ $((i % 25)) = 0 ] && printf '\\0337\\033[3;10r\\033[1;1Htop\\033[r\\0338'
done
printf '\\033[?1049lthe end'
read x`;

type Snapshot = TerminalAnswers['snapshot'];

/** What a reader has who begins with a snapshot, or with nothing, and gets the events after it. */
function read(snapshot: Snapshot | null, events: readonly StoredTerminalEvent[]) {
  const terminal = terminalOf(snapshot?.cols ?? 80, snapshot?.rows ?? 24);
  if (snapshot !== null) feed(terminal, Buffer.from(snapshot.data, 'base64'));
  let offset = snapshot?.offset ?? 0;
  const gaps: string[] = [];
  for (const event of events) {
    if (event.seq <= (snapshot?.seq ?? 0)) continue;
    if (event.kind === 'terminal.resized') terminal.resize(event.cols, event.rows);
    if (event.kind !== 'terminal.output') continue;
    const bytes = Buffer.from(event.data, 'base64');
    if (event.offset !== offset) gaps.push(`${offset} → ${event.offset}`);
    feed(terminal, bytes);
    offset += bytes.length;
  }
  return { state: stateOf(terminal), offset, gaps };
}

describe('a reader that joins', () => {
  it(`at any of ${JOINS} moments has the same screen as one from the start, and no byte twice`, async () => {
    const seed = 15;
    const pick = random(seed);
    const { open, host, records, dir } = await openHost();
    const shell = await open({ args: ['-c', PROGRAM] });
    const snapshots: Snapshot[] = [];
    const join = async (): Promise<void> => {
      snapshots.push(await host.ask(shell.id, { kind: 'snapshot' }));
    };
    while (snapshots.length < JOINS) {
      await Promise.all(Array.from({ length: 1 + Math.floor(pick() * 2) }, join));
      await new Promise<void>((done) => records.onceAppended(done));
      for (let turns = Math.floor(pick() * 30); turns > 0; turns -= 1) await new Promise(setImmediate);
    }
    writeFileSync(resolve(dir, '../stop'), '');
    await shell.wrote('the end');

    const events = records.of(shell.id);
    const whole = read(null, events);
    expect(whole.gaps).toEqual([]);
    const distinct = new Map(snapshots.map((snapshot) => [`${snapshot.seq} ${snapshot.offset}`, snapshot]));
    expect(distinct.size).toBeGreaterThan(JOINS / 4);
    for (const snapshot of distinct.values()) {
      const joined = read(snapshot, events);
      expect({ ...joined, seed }).toEqual({ ...whole, seed });
    }
  });
});
