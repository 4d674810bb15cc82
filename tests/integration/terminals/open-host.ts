/** A host of terminals with the real launcher, and with records in memory. */
import { join } from 'node:path';
import { pino } from 'pino';
import { ulid } from 'ulid';
import { createProcScanner } from '../../../src/processes/proc-scanner.ts';
import type { TerminalAsk, TerminalInput, TerminalSize } from '../../../src/protocol/terminal.ts';
import { createTerminalHost, type TerminalHostOptions } from '../../../src/terminals/host.ts';
import type { NewTerminal, TerminalHost } from '../../../src/terminals/ports.ts';
import { FakeTerminalLedger, FakeTerminalRecords } from '../../fakes/terminal-records.ts';
import { eventually } from '../../helpers/eventually.ts';
import { launch } from '../../helpers/launcher.ts';
import { whenOver } from '../../helpers/shared.ts';
import { makeTempDir, removeDir } from '../../helpers/temp.ts';

export const ENV = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  TERM: 'xterm-256color',
  PS1: '$ ',
  HOME: '/tmp',
  LANG: 'C.UTF-8',
};

export async function openHost(changes: Partial<TerminalHostOptions> = {}) {
  const dir = makeTempDir();
  const records = new FakeTerminalRecords();
  const ledger = new FakeTerminalLedger();
  const options: TerminalHostOptions = {
    ...{ nodeId: ulid(), launch, scanner: createProcScanner(), records, ledger },
    lastSeq: async (id) => records.of(id).at(-1)?.seq ?? 0,
    dir: join(dir, 'terminals'),
    ...{ recordingBytes: 64 * 1024 * 1024, terminalIdleMs: 60_000, killGraceMs: 1000, keepMs: 60_000 },
    logger: pino({ enabled: false }),
    ...changes,
  };
  const host = createTerminalHost(options);
  await host.start();
  whenOver(async () => {
    await host.stop();
    removeDir(dir);
  });

  /** Starts a program; bash without its files by default. */
  async function open(
    change: Partial<NewTerminal> & { readonly args?: readonly string[]; readonly binary?: string } = {},
    sessionId = ulid(),
  ) {
    const { binary = '/bin/bash', args = ['--norc', '--noprofile'], ...rest } = change;
    const size: TerminalSize = { cols: 80, rows: 24 };
    const base = {
      sessionId,
      executionId: ulid(),
      provider: 'shell',
      scratch: join(dir, sessionId),
      size,
      screens: [],
    };
    const terminal = { ...base, launch: { binary, args, env: ENV, cwd: dir }, ...rest };
    await host.open(sessionId, async () => terminal);
    return terminalOf(host, records, sessionId);
  }
  return { host, records, ledger, open, options, dir: options.dir };
}

export function terminalOf(host: TerminalHost, records: FakeTerminalRecords, id: string) {
  const type = (data: TerminalInput['data'], messageId: string | null = null) =>
    host.ask(id, { kind: 'input', data, clientSeq: null, messageId });
  const text = async (): Promise<string> => (await host.ask(id, { kind: 'screen', format: 'text' })).text;
  return {
    id,
    ask: (ask: Extract<TerminalAsk, { kind: 'input' }>) => host.ask(id, ask),
    type,
    text,
    output: () => records.output(id),
    shows: (what: string) => eventually(async () => (await text()).includes(what)),
    wrote: (what: string) => eventually(() => records.output(id).includes(what)),
    moved: (trigger: string) => eventually(() => records.triggers(id).includes(trigger)),
    history: async () => (await host.ask(id, { kind: 'history', limit: 100, cursor: null })).data,
  };
}
