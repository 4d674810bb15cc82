/** What codex app-server promises, seen with the real one and the offline model. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type AppServerLab,
  CODEX_APP_CASES,
  createAppServerLab,
  runCodexAppCase,
  threadOf,
} from '../../scripts/offline-model/codex-app-cases.ts';
import { MESSAGE_ID, type RanTurn } from '../../scripts/offline-model/codex-app-turn.ts';

const inWorkspace = (lab: AppServerLab, name: string): boolean => existsSync(join(lab.home.workspace, name));
/** How the turn ended, as codex reports it. */
const endOf = ({ run }: RanTurn): string | undefined =>
  /"method":"turn\/completed".*"status":"(\w+)","error"/.exec(run.lines.join('\n'))?.[1];
const { allowed, denied, parked, question } = CODEX_APP_CASES;
const yes = { decision: 'allow', input: {}, rules: [] } as const;

describe('codex app-server', () => {
  it('asks before a command leaves the sandbox, and runs it after an answer', async () => {
    await using lab = await createAppServerLab();
    const turn = await lab.turn(allowed);
    expect(turn.asks).toMatchObject([{ tool: 'shell', input: { command: 'touch made.txt' } }]);
    expect([endOf(turn), inWorkspace(lab, 'made.txt')]).toEqual(['completed', true]);
  });

  it('goes on without a command that is denied, and tells the model why', async () => {
    await using lab = await createAppServerLab();
    const turn = await lab.turn(denied);
    expect([endOf(turn), inWorkspace(lab, 'made.txt')]).toEqual(['completed', false]);
    expect(lab.model.requests.at(-1)?.lastUserText).toContain('not today');
  });

  it('ends the turn for a call that waits, and runs it in a later process when it is made again', async () => {
    await using lab = await createAppServerLab();
    const first = await lab.turn(parked);
    expect([endOf(first), inWorkspace(lab, 'made.txt'), first.withdrawn]).toEqual(['interrupted', false, []]);
    const [ask = expect.unreachable()] = first.asks;
    const known = [{ approvalId: 'approval-1', callId: ask.callId, tool: ask.tool, input: ask.input }];
    const thread = threadOf(first);
    const second = await lab.turn({ ...parked, thread, known, asks: [yes] });
    expect(second.asks).toMatchObject([{ approvalId: 'approval-1' }]);
    expect([endOf(second), inWorkspace(lab, 'made.txt')]).toEqual(['completed', true]);
  });

  it('forgets a call that was open when it was killed: it does not ask again by itself', async () => {
    await using lab = await createAppServerLab();
    const first = await lab.turn(CODEX_APP_CASES['killed-while-asking']);
    expect([first.run.signal, first.asks.length]).toEqual(['SIGKILL', 1]);
    const second = await lab.turn({
      prompt: 'Go on [[reply: on]]',
      thread: threadOf(first),
      request: { onPermissionDenied: 'ask' },
    });
    expect([endOf(second), second.asks, inWorkspace(lab, 'made.txt')]).toEqual(['completed', [], false]);
  });

  it('asks questions in a job that may change files, and the model reads the answers', async () => {
    await using lab = await createAppServerLab();
    const turn = await lab.turn(question);
    expect(turn.asks).toMatchObject([{ kind: 'question', questions: [{ question: 'Which db?' }] }]);
    expect(endOf(turn)).toBe('completed');
  });

  it('folds a message into the running turn, and names it', async () => {
    const turn = await runCodexAppCase('steered');
    expect([endOf(turn), turn.taken]).toEqual(['completed', [MESSAGE_ID]]);
    expect(turn.run.lines.some((line) => line.includes(`"clientId":"${MESSAGE_ID}"`))).toBe(true);
    expect(turn.requests.at(-1)?.lastUserText).toContain('Use tabs');
  });

  it('stops a turn and keeps its thread', async () => {
    await using lab = await createAppServerLab();
    const first = await lab.turn(CODEX_APP_CASES.interrupted);
    expect([endOf(first), first.run.code]).toEqual(['interrupted', 0]);
    const second = await lab.turn({ prompt: 'And now? [[reply: now]]', thread: threadOf(first) });
    expect(lab.model.requests.at(-1)?.userTexts).toHaveLength(2);
    expect(endOf(second)).toBe('completed');
  });

  it('copies a thread, and leaves the other as it was', async () => {
    await using lab = await createAppServerLab();
    const parent = threadOf(await lab.turn({ prompt: 'I am Ada. [[reply: Hello]]' }));
    const copy = threadOf(await lab.turn({ prompt: 'Who am I? [[reply: Ada]]', thread: parent, fork: true }));
    expect(copy).not.toBe(parent);
    expect(lab.model.requests.at(-1)?.userTexts).toHaveLength(2);
    await lab.turn({ prompt: 'Still here? [[reply: yes]]', thread: parent });
    expect(lab.model.requests.at(-1)?.userTexts).toHaveLength(2);
  });

  it('takes the permissions of each turn, not those that its thread had before', async () => {
    await using lab = await createAppServerLab();
    const write = (name: string) => `[[tool: exec_command {"cmd":"touch ${name}"}]] [[reply: over]]`;
    const request = { permissionMode: 'fullAccess' } as const;
    const thread = threadOf(await lab.turn({ prompt: write('by-full-access'), request }));
    expect(inWorkspace(lab, 'by-full-access')).toBe(true);
    await lab.turn({ prompt: write('by-default'), thread });
    await lab.turn({ prompt: write('by-fork'), thread, fork: true });
    expect([inWorkspace(lab, 'by-default'), inWorkspace(lab, 'by-fork')]).toEqual([false, false]);
  });
});
