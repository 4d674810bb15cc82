/**
 * Conversations with the claude CLI that the fixtures record: it asks, a host answers by the
 * control protocol, sends messages and interrupts.
 */
import type { RanCase } from './claude-cases.ts';
import { makeClaudeHome } from './run-claude.ts';
import { startOfflineModel } from './server.ts';
import { type ClaudeTalk, talkToClaude } from './talk-claude.ts';

const ARGS = [
  '-p',
  '--input-format=stream-json',
  '--output-format=stream-json',
  '--verbose',
  '--include-partial-messages',
  '--permission-prompt-tool=stdio',
];
const PROMPT_ID = '6f1f2d4e-3f0b-4c58-9d0e-0c1f6a7b8c9d';
const MESSAGE_ID = '0b0c58a4-9d0e-4a1f-8c3d-6f1f2d4e3f0b';
const TOUCH = '[[tool: Bash {"command":"touch made.txt","description":"Make a file"}]]';
const QUESTION = {
  questions: [
    {
      question: 'Which database?',
      header: 'Database',
      options: [
        { label: 'SQLite', description: 'One file' },
        { label: 'Postgres', description: 'A server' },
      ],
      multiSelect: false,
    },
  ],
};
const SLOW = '[[slow: 20 tokens 50ms]]';

/** The answer to a request of the CLI; null: none yet. */
type Answers = (request: Record<string, unknown>, count: number) => unknown;

const hook = (permissionDecision: string, more: object = {}): unknown => ({
  hookSpecificOutput: { hookEventName: 'PreToolUse', permissionDecision, ...more },
});
const deny = { behavior: 'deny', message: 'This call waits for the approval of a person. Make it again.' };
const isHook = ({ subtype }: Record<string, unknown>): boolean => subtype === 'hook_callback';

interface Talk {
  readonly prompt: string;
  /** Resumes the session of this conversation, without a message. */
  readonly resumes?: ClaudeTalkName;
  readonly answers: Answers;
  /** What the host does besides. */
  during?(talk: ClaudeTalk): Promise<void>;
}

const putOff: Answers = (request, count) => {
  if (!isHook(request)) return deny;
  return count === 1 ? {} : hook('defer');
};

const TALKS_BY_NAME = {
  'ask-put-off': { prompt: `Do it. ${TOUCH} ${TOUCH} [[reply: never]]`, answers: putOff },
  'ask-decided': { prompt: '', resumes: 'ask-put-off', answers: () => hook('allow') },
  'ask-put-off-again': { prompt: '', resumes: 'ask-put-off', answers: () => hook('defer') },
  'ask-question': {
    prompt: `Ask. [[tool: AskUserQuestion ${JSON.stringify(QUESTION)}]] [[reply: SQLite it is.]]`,
    answers: () => hook('allow', { updatedInput: { ...QUESTION, answers: { 'Which database?': 'SQLite' } } }),
  },
  'ask-interrupted': {
    prompt: `Do it. ${TOUCH} [[reply: never]]`,
    answers: (request) => (isHook(request) ? {} : null),
    async during(talk) {
      await talk.until((line) => line.includes('"can_use_tool"'));
      talk.write(request('interrupt-1', { subtype: 'interrupt', cancel_queued: true }));
    },
  },
  'message-joined': {
    prompt: `Do it. ${TOUCH} [[reply: Both done.]]`,
    answers: (request) => (isHook(request) ? {} : null),
    async during(talk) {
      const ask = await talk.until((line) => line.includes('"can_use_tool"'));
      talk.write(message(MESSAGE_ID, 'Be quick.'));
      await talk.until((line) => line.includes(MESSAGE_ID));
      const { request_id: id, request: asked } = JSON.parse(ask);
      talk.write(answer(id, { behavior: 'allow', updatedInput: asked.input }));
    },
  },
  'message-late': {
    prompt: `Speak. ${SLOW}`,
    answers: () => ({}),
    async during(talk) {
      await talk.until((line) => line.includes('text_delta'));
      talk.write(message(MESSAGE_ID, 'And now? [[reply: The second answer.]]'));
      await talk.until((line) => line.includes('"type":"result"'));
    },
  },
} as const satisfies Record<string, Omit<Talk, 'resumes'> & { resumes?: string }>;

export type ClaudeTalkName = keyof typeof TALKS_BY_NAME;
export const CLAUDE_TALKS: Readonly<Record<ClaudeTalkName, Talk>> = TALKS_BY_NAME;

const line = (value: unknown): string => `${JSON.stringify(value)}\n`;
const request = (id: string, asked: unknown): string =>
  line({ type: 'control_request', request_id: id, request: asked });
const answer = (id: string, response: unknown): string =>
  line({ type: 'control_response', response: { subtype: 'success', request_id: id, response } });
const message = (uuid: string, content: string): string =>
  line({ type: 'user', uuid, message: { role: 'user', content } });

/** Has a conversation with a model and a home of its own; both are gone when it resolves. */
export async function runClaudeTalk(name: ClaudeTalkName): Promise<RanCase> {
  await using model = await startOfflineModel();
  await using home = await makeClaudeHome();

  async function run(talked: Talk, sessionId: string | null): Promise<RanCase['run']> {
    let count = 0;
    await using talk = talkToClaude({
      baseUrl: model.url,
      home,
      args: sessionId === null ? ARGS : [...ARGS, `--resume=${sessionId}`],
      onLine(text) {
        const { type, request_id: id, request: asked } = JSON.parse(text);
        if (type !== 'control_request') return;
        if (isHook(asked)) count += 1;
        const given = talked.answers(asked, count);
        if (given !== null) talk.write(answer(id, given));
      },
    });
    const hooks = { PreToolUse: [{ matcher: '*', hookCallbackIds: ['call'], timeout: 604_800 }] };
    talk.write(request('hello', { subtype: 'initialize', hooks }));
    if (sessionId === null) talk.write(message(PROMPT_ID, talked.prompt));
    await talked.during?.(talk);
    await talk.until((text) => text.includes('"type":"result"'));
    return await talk.close(); // before it is killed
  }

  const { resumes, ...rest } = CLAUDE_TALKS[name];
  const first = resumes === undefined ? null : await run(CLAUDE_TALKS[resumes], null);
  const found = /"session_id":"([^"]+)"/.exec(first?.lines.join('\n') ?? '')?.[1] ?? null;
  const recorded = await run(rest, found);
  return { run: recorded, first, requests: [...model.requests], home, baseUrl: model.url };
}
