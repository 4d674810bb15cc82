import { expect, test } from 'vitest';
import { type Answer, json, problem, startScriptedServer } from '../client/scripted-server.ts';
import { type as typed } from './harness.ts';

const LINK = json(201, { code: 'a-code', expiresAt: '2026-11-21T12:01:00.000Z' });
const ID = '01K9ZV4Q4PPJ6S5V6H9Y1C3D2E';
const JOB = { id: ID, sessionId: ID };

async function open(args: readonly string[], ...answers: readonly Answer[]) {
  const server = await startScriptedServer(...answers);
  const opened: string[] = [];
  const result = await typed(['open', ...args], {
    env: { BULLPEN_URL: server.url, BULLPEN_TOKEN: 'bp_x' },
    openBrowser: async (url) => opened.push(url) > 0,
  });
  return { ...result, opened, url: server.url, asked: server.requests.map(({ url }) => url.pathname) };
}

test('the page is opened in the browser, with a code behind the address', async () => {
  const { code, out, err, opened, url } = await open([], LINK);
  expect([code, out, err]).toEqual([0, `${url}/#login=a-code\n`, '']);
  expect(opened).toEqual([`${url}/#login=a-code`]);
});

test.each([
  ['inbox', '/'],
  ['jobs', '/jobs'],
  ['sessions', '/sessions'],
  ['usage', '/usage'],
  ['system', '/system'],
])('%s is %s', async (place, path) => {
  const { out, url, opened } = await open([place, '--print'], LINK);
  expect(out).toBe(`${url}${path}#login=a-code\n`);
  expect(opened).toEqual([]);
});

test('a job is opened by its id or a part of it', async () => {
  const whole = await open([ID], json(200, JOB), LINK);
  expect(whole.out).toBe(`${whole.url}/jobs/${ID}#login=a-code\n`);
  const part = await open(['c3d2e'], json(200, { data: [JOB], nextCursor: null }), LINK);
  expect(part.out).toBe(`${part.url}/jobs/${ID}#login=a-code\n`);
});

test('a session is opened where no job has the id, and a terminal beside the others', async () => {
  const none = problem(404, 'job.not_found');
  const session = await open([ID], none, json(200, { id: ID, kind: 'chat' }), LINK);
  expect(session.out).toBe(`${session.url}/sessions/${ID}#login=a-code\n`);
  const terminal = await open([ID], none, json(200, { id: ID, kind: 'terminal' }), LINK);
  expect(terminal.out).toBe(`${terminal.url}/terminals/${ID}#login=a-code\n`);
});

test('what does not exist makes no link', async () => {
  const answers = [problem(404, 'job.not_found'), problem(404, 'session.not_found')];
  const { code, out, asked } = await open([ID], ...answers, problem(404, 'job.not_found'));
  expect([code === 0, out]).toEqual([false, '']);
  expect(asked).not.toContain('/v1/login-links');
});

test('without a browser the address is still printed', async () => {
  const server = await startScriptedServer(LINK);
  const env = { BULLPEN_URL: server.url, BULLPEN_TOKEN: 'bp_x' };
  const { code, out, err } = await typed(['open'], { env, openBrowser: async () => false });
  expect([code, out]).toEqual([0, `${server.url}/#login=a-code\n`]);
  expect(err).toContain('no browser could be started');
});
