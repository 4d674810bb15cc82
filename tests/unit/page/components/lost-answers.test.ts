// Before the modules of the page.
import '../../../helpers/page-document.ts';
import { h } from 'preact';
import { expect, it } from 'vitest';
import { ApiError, UnreachableError } from '../../../../src/client/errors.ts';
import { exampleJob, exampleListItem, exampleSession } from '../../../../src/http/examples.ts';
import { FailureRow } from '../../../../src/page/screens/inbox/failure-row.tsx';
import { Actions } from '../../../../src/page/screens/job/actions.tsx';
import { Composer } from '../../../../src/page/screens/job/composer.tsx';
import { continueJob, retryJob, retryMany } from '../../../../src/page/screens/jobs/job-actions.ts';
import { NewJobScreen } from '../../../../src/page/screens/jobs/new-job.tsx';
import { fork } from '../../../../src/page/screens/sessions/fork.ts';
import { NewChat } from '../../../../src/page/screens/sessions/new-chat.tsx';
import { NewTerminal } from '../../../../src/page/screens/sessions/new-terminal.tsx';
import { createTranscript } from '../../../../src/page/transcript/transcript.ts';
import { createSend } from '../../../../src/page/ui/unanswered.ts';
import { eventually } from '../../../helpers/eventually.ts';
import { type Answer, type Asked, usePage } from '../../../helpers/page-document.ts';

const page = usePage();
const posts = (): readonly Asked[] => page.asked.filter(({ method }) => method === 'POST');
const nothing = (): void => {};
const ended = { ...exampleJob, finished: true, status: 'failed' as const };

const answers: Answer = ({ method, path }) => {
  if (method === 'POST')
    return posts().length === 1 ? 502 : path.includes('session') ? exampleSession : ended;
  if (path === '/openapi.json') return { paths: {}, components: { schemas: {} } };
  return path === '/v1/providers' || path === '/v1/jobs' ? { data: [] } : 404;
};

/** The first answer is lost; then it is pressed again, `later`: where one has come back to it. */
async function pressedAgain(
  what: Parameters<typeof page.show>[0],
  press: () => unknown,
  later = false,
): Promise<void> {
  await page.show(what, answers);
  for (const times of [1, 2]) {
    await eventually(() => {
      if (posts().length < times) void press();
      return posts().length >= times;
    });
    if (!later || times === 2) continue;
    page.leave();
    await page.show(what, answers);
  }
  const [lost, again] = posts().map(({ idempotencyKey }) => idempotencyKey);
  expect(lost).not.toBeNull();
  expect(again).toBe(lost);
}
const click = (text: string) => () => page.body.find('button', text).send('click');
const submit = (): void => page.body.all('form')[0]?.send('submit');

it('what was answered has another key the next time, and so has what differs', async () => {
  const send = createSend();
  const keys: string[] = [];
  const answers = [
    null,
    null,
    new UnreachableError('', null),
    new ApiError({ status: 422, code: 'x', detail: '' }),
    null,
  ];
  for (const answer of answers)
    await send('same', async ({ idempotencyKey }) => {
      keys.push(idempotencyKey);
      if (answer !== null) throw answer;
    }).catch(nothing);
  await send('other', async ({ idempotencyKey }) => keys.push(idempotencyKey));
  expect(new Set(keys).size).toBe(5);
  expect(keys[3]).toBe(keys[2]);
});

/** Writes, and presses the button once it can be pressed. */
const writeAnd = (text: string) => (): void => {
  page.body.all('textarea')[0]?.write('more');
  const button = page.body.all('button').find(({ textContent }) => textContent === text);
  if (button?.given.has('disabled') === false) button.send('click');
};

it('a turn, also where one has come back to its draft', async () => {
  const composer = h(Composer, { job: ended, transcript: createTranscript() });
  await pressedAgain(composer, writeAnd('As the next turn'));
  page.leave();
  page.asked.length = 0;
  const other = h(Composer, { job: { ...ended, id: 'other' }, transcript: createTranscript() });
  await pressedAgain(other, writeAnd('As the next turn'), true);
});

it('a job, where one has come back to its draft', () =>
  pressedAgain(h(NewJobScreen, null), writeAnd('Send'), true));

it('a retry and a continuation, of a job, of a row and of picked rows', async () => {
  const actions = h(Actions, { job: ended, onChanged: nothing });
  await pressedAgain(actions, click('Retry'));
  page.asked.length = 0;
  await pressedAgain(h('p', null), () => retryJob({ id: 'one' }));
  page.asked.length = 0;
  await pressedAgain(h('p', null), () => continueJob({ id: 'one' }));
  page.asked.length = 0;
  await pressedAgain(h('p', null), () => retryMany(new Set(['two'])));
  expect(posts().map(({ body }) => body)).toEqual([{}, {}]); // each in its session, where it has one
});

it('a fork', () => pressedAgain(h('p', null), () => fork('one')));
it('a chat, where one has come back to its first message', () =>
  pressedAgain(h(NewChat, { onClose: nothing, onMade: nothing }), submit, true));
it('a terminal', () => pressedAgain(h(NewTerminal, { onClose: nothing, onMade: nothing }), submit));

it('a failure that was retried and could not be archived is only archived then', async () => {
  let over = 0;
  const job = { ...exampleListItem, id: 'failed' };
  const onOver = (): void => {
    over += 1;
  };
  const row = h(FailureRow, { job, current: false, onFocus: nothing, onOver });
  const patches = (): number => page.asked.filter(({ method }) => method === 'PATCH').length;
  await page.show(row, ({ method }) => (method === 'PATCH' ? (patches() === 1 ? 409 : ended) : ended));
  const retry = page.body.all('button').find(({ textContent }) => textContent === 'Retry');
  await eventually(() => {
    if (over === 0) retry?.send('click');
    return over > 0;
  });
  expect(posts()).toHaveLength(1);
});
