import { expect, test } from 'vitest';
import { ADMIN_PRINCIPAL, type Principal } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import type { AuditAct } from '../../../src/protocol/audit.ts';
import type { TerminalAsk } from '../../../src/protocol/terminal.ts';
import { createTerminalRouter } from '../../../src/terminals/router.ts';
import { callerOf } from '../../fakes/principals.ts';

const OWN = 'node-1';
const SESSIONS = {
  own: { kind: 'terminal', project: 'web', node: OWN },
  far: { kind: 'terminal', project: 'web', node: 'node-2' },
  chat: { kind: 'chat', project: 'web', node: OWN },
} as const;

const ALL_ASKS: readonly TerminalAsk[] = [
  { kind: 'input', data: 'x', clientSeq: null, messageId: null },
  { kind: 'resize', cols: 1, rows: 1, messageId: null },
  { kind: 'signal', signal: 'INT', messageId: null },
  { kind: 'screen', format: 'text' },
  { kind: 'snapshot' },
  { kind: 'recording', from: 0 },
  { kind: 'history', limit: 1, cursor: null },
  { kind: 'close' },
  { kind: 'remove' },
];

function setUp() {
  const asked: string[] = [];
  const looked: string[] = [];
  const noted: AuditAct[] = [];
  let failure: AppError | null = null;
  const answer = async (where: string, sessionId: string, ask: TerminalAsk) => {
    if (failure !== null) throw failure;
    asked.push(`${where} ${sessionId} ${ask.kind}`);
    return { text: where } as never; // the router hands every answer on as it is
  };
  const router = createTerminalRouter({
    async find({ project, admin }: Principal, id) {
      looked.push(id);
      const found = Object.entries(SESSIONS).find(([name]) => name === id)?.[1];
      if (found !== undefined && (admin || found.project === project)) return found;
      throw new AppError('session.not_found', 'there is no such session');
    },
    host: { ask: (id, ask) => answer('here', id, ask) },
    asks: { ask: (node, { sessionId, ask }) => answer(node, sessionId, ask) },
    nodeId: OWN,
    note: (_by, act) => void noted.push(act),
  });
  const codeOf = (asking: Promise<unknown>) =>
    asking.then(
      () => null,
      (error: unknown) => (error instanceof AppError ? error.code : error),
    );
  return { router, asked, looked, noted, codeOf, fail: (error: AppError) => (failure = error) };
}

const input = (data: string) => ({ kind: 'input', data, clientSeq: null, messageId: null }) as const;

test('a terminal is asked on its node, which is looked up once', async () => {
  const { router, asked, looked } = setUp();
  const screen = { kind: 'screen', format: 'text' } as const;
  expect(await router.ask(ADMIN_PRINCIPAL, 'own', screen)).toEqual({ text: 'here' });
  expect(await router.ask(ADMIN_PRINCIPAL, 'far', screen)).toEqual({ text: 'node-2' });
  for (const data of ['a', 'b', 'c']) await router.ask(ADMIN_PRINCIPAL, 'own', input(data));
  expect(asked.slice(2)).toEqual(Array(3).fill('here own input'));
  expect(looked).toEqual(['own', 'far']);
});

test('a chat has no terminal, and another project sees none, also after its owner was here', async () => {
  const { router, codeOf } = setUp();
  expect(await codeOf(router.ask(ADMIN_PRINCIPAL, 'chat', input('x')))).toBe('session.wrong_kind');
  await router.ask(callerOf('key:1', 'web', ['terminals']), 'own', input('x'));
  const other = callerOf('key:2', 'ops', ['terminals']);
  expect(await codeOf(router.ask(other, 'own', input('x')))).toBe('session.not_found');
  expect(await codeOf(router.ask(other, 'none', input('x')))).toBe('session.not_found');
});

test('each question needs its scope', async () => {
  const { router, codeOf } = setUp();
  const allowed = async (scope: 'terminals' | 'sessions:read' | 'sessions:write' | 'jobs:write') => {
    const caller = callerOf('key:1', 'web', [scope]);
    const codes = await Promise.all(ALL_ASKS.map((ask) => codeOf(router.ask(caller, 'own', ask))));
    expect(codes.every((code) => code === null || code === 'auth.forbidden')).toBe(true);
    return ALL_ASKS.filter((_, index) => codes[index] === null).map(({ kind }) => kind);
  };
  const reads = ['screen', 'snapshot', 'recording', 'history'];
  expect(await allowed('terminals')).toEqual(['input', 'resize', 'signal']);
  expect(await allowed('sessions:read')).toEqual(reads);
  expect(await allowed('sessions:write')).toEqual([...reads, 'close', 'remove']);
  expect(await allowed('jobs:write')).toEqual([]);
});

test('the audit has each signal and close, and who typed, but never what', async () => {
  const { router, noted, codeOf, fail } = setUp();
  const [ada, bob] = ['key:ada', 'key:bob'].map((id) => callerOf(id, 'web', ['terminals']));
  if (ada === undefined || bob === undefined) return expect.unreachable();
  for (const data of ['secret', 'more']) await router.ask(ada, 'far', input(data));
  await router.ask(bob, 'far', input('secret'));
  await router.ask(ada, 'far', { kind: 'signal', signal: 'QUIT', messageId: null });
  await router.ask(ada, 'far', { kind: 'resize', cols: 1, rows: 1, messageId: null });
  await router.ask(ADMIN_PRINCIPAL, 'far', { kind: 'close' });
  fail(new AppError('terminal.over', 'the program has ended'));
  expect(await codeOf(router.ask(ada, 'own', input('late')))).toBe('terminal.over');
  const of = { project: 'web', target: 'far' };
  expect(noted).toEqual([
    { action: 'terminal.typed', ...of },
    { action: 'terminal.typed', ...of },
    { action: 'terminal.signalled', ...of, details: { signal: 'QUIT' } },
    { action: 'session.closed', ...of },
  ]);
});
