// Before the modules of the page.
import '../../../helpers/page-document.ts';
import { Fragment, h } from 'preact';
import { expect, it, vi } from 'vitest';
import { exampleApproval, exampleJob, exampleSession } from '../../../../src/http/examples.ts';
import { eventually } from '../../../helpers/eventually.ts';
import { type Answer, type Asked, type FakeElement, usePage } from '../../../helpers/page-document.ts';

const page = usePage();
const nothing = (): void => {};
const posts = (): readonly Asked[] => page.asked.filter(({ method }) => method === 'POST');
const field = (): FakeElement | undefined => page.body.all('textarea')[0];
const click = (text: string): void => page.body.find('button', text).send('click');
const shows = (text: string) => (): boolean => page.body.textContent.includes(text);

/** The server is away for the first presses. */
function server(answer: unknown): { readonly answer: Answer; comes(): void } {
  let given: unknown = 502;
  return {
    answer: ({ method, path }) => (method === 'POST' ? given : path === '/v1/providers' ? { data: [] } : 404),
    comes() {
      given = answer;
    },
  };
}

/** Presses until one more request is sent. */
async function sends(press: () => void): Promise<void> {
  const before = posts().length;
  await eventually(() => {
    if (posts().length === before) press();
    return posts().length > before;
  });
}

/** Where one writes to a chat, with what is on its way: as a page shows it that was loaded now. */
async function loadedChat(sessionId: string) {
  vi.resetModules();
  const { useOutbox } = await import('../../../../src/page/screens/sessions/outbox.ts');
  const { OnTheWay } = await import('../../../../src/page/screens/sessions/on-the-way.tsx');
  const { Composer } = await import('../../../../src/page/screens/sessions/composer.tsx');
  const given = { sessionId, running: false, steers: false, onStop: nothing };
  return function Chat() {
    const { sent, send, again, drop } = useOutbox(sessionId, nothing);
    return h(
      Fragment,
      null,
      h(OnTheWay, { waiting: [], sent, onAgain: again, onDrop: ({ key }) => drop([key]) }),
      h(Composer, { ...given, onSend: send }),
    );
  };
}

/** Components of the page that was loaded last. */
const newChat = () => import('../../../../src/page/screens/sessions/new-chat.tsx');
const approvalCard = () => import('../../../../src/page/screens/inbox/approval-card.tsx');

const writeAndSend = (text: string) => (): void => {
  field()?.write(text);
  click('Send');
};

it('a message stays until it is sent, over another screen and a reload, and is sent once', async () => {
  const { answer, comes } = server(exampleJob);
  const chat = await loadedChat('one');
  await page.show(h(chat, null), answer);
  await sends(writeAndSend('not lost'));
  await eventually(shows('Send again'));
  expect(field()?.value).toBe('');
  page.leave();
  await page.show(h(chat, null), answer);
  expect(page.body.textContent).toContain('not lost');
  page.leave();
  await page.show(h(await loadedChat('one'), null), answer);
  expect(page.body.textContent).toContain('not lost');
  comes();
  await sends(() => click('Send again'));
  await eventually(() => !shows('sending …')() && !shows('Send again')());
  expect(posts().map(({ body }) => body)).toEqual(Array(2).fill({ prompt: 'not lost', delivery: 'next' }));
  expect(new Set(posts().map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
  page.leave();
  await page.show(h(await loadedChat('one'), null), answer);
  expect(page.body.textContent).not.toContain('not lost');
});

it('a message whose answer has not come is there, too, and gets it while another screen is shown', async () => {
  const gate = Promise.withResolvers<unknown>();
  const chat = await loadedChat('two');
  await page.show(h(chat, null), ({ method }) => (method === 'POST' ? gate.promise : 404));
  await sends(writeAndSend('under way'));
  page.leave();
  await page.show(h(await loadedChat('two'), null));
  expect(page.body.textContent).toContain('under way');
  expect(page.body.textContent).toContain('before the server had answered');
  page.leave();
  await page.show(h(chat, null));
  expect(page.body.textContent).toContain('sending …');
  page.leave();
  gate.resolve(exampleJob);
  await page.show(h(chat, null));
  await eventually(() => !shows('sending …')());
  expect(page.body.textContent).toContain('under way');
  expect(page.body.textContent).not.toContain('Send again');
});

it('the first message of a chat stays until it is sent', async () => {
  const { answer, comes } = server(exampleSession);
  let made = 0;
  const onMade = (): void => {
    made += 1;
  };
  const { NewChat } = await newChat();
  const dialog = h(NewChat, { onClose: nothing, onMade });
  await page.show(dialog, answer);
  field()?.write('begin');
  page.leave();
  await page.show(dialog, answer);
  expect(field()?.value).toBe('begin');
  comes();
  await sends(() => page.body.all('form')[0]?.send('submit'));
  await eventually(() => made > 0);
  expect(posts().map(({ body }) => body)).toEqual([{ prompt: 'begin' }]);
  page.leave();
  await page.show(dialog, answer);
  expect(field()?.value).toBe('');
});

const WAYS = [
  ['Deny …', 'Deny'],
  ['Allow in session …', 'Allow in this session'],
  ['Edit …', 'Allow this'],
] as const;

it.each(WAYS)('what one writes to an approval stays until it is sent: %s', async (way, sent) => {
  const { answer, comes } = server(exampleApproval);
  let over = 0;
  const onOver = (): void => {
    over += 1;
  };
  const { ApprovalCard } = await approvalCard();
  const card = h(ApprovalCard, { approval: exampleApproval, current: false, onFocus: nothing, onOver });
  const opened = async (): Promise<string | undefined> => {
    page.leave();
    await page.show(card, answer);
    click(way);
    await eventually(() => field() !== undefined);
    return field()?.value;
  };
  const first = await opened();
  field()?.write('mine');
  expect(await opened()).toBe('mine');
  await sends(() => click(sent));
  expect(await opened()).toBe('mine');
  comes();
  await sends(() => click(sent));
  await eventually(() => over > 0);
  expect(await opened()).toBe(first);
});

it('so does an answer in other words', async () => {
  const { answer, comes } = server(exampleApproval);
  let over = 0;
  const onOver = (): void => {
    over += 1;
  };
  const questions = [{ question: 'Which?', header: null, multiSelect: false, options: [] }];
  const approval = { ...exampleApproval, kind: 'question' as const, questions };
  const { ApprovalCard } = await approvalCard();
  const card = h(ApprovalCard, { approval, current: false, onFocus: nothing, onOver });
  const words = (): FakeElement => page.body.find('input', 'Other words for: Which?');
  await page.show(card, answer);
  words().write('mine');
  page.leave();
  await page.show(card, answer);
  expect(words().value).toBe('mine');
  comes();
  await sends(() => click('Answer'));
  await eventually(() => over > 0);
  page.leave();
  await page.show(card, answer);
  expect(words().value).toBe('');
});
