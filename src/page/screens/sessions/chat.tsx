/** A chat: its turns as they come, and where one writes to it. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Session, Turn } from '../../../protocol/session.ts';
import { useLoad } from '../../load.ts';
import { go } from '../../router.ts';
import { type Changed, client, may } from '../../server.ts';
import { useTitle } from '../../title.ts';
import { visibleText } from '../../transcript/hostile.ts';
import type { Transcript as TranscriptState } from '../../transcript/transcript.ts';
import { Transcript } from '../../transcript/transcript-view.tsx';
import { useEvents } from '../../transcript/use-events.ts';
import { Button } from '../../ui/button.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Empty, Failure } from '../../ui/states.tsx';
import { SessionStatusBadge } from '../../ui/status.tsx';
import { act } from '../../ui/toast.tsx';
import './chat.css';
import { ChatFacts } from './chat-facts.tsx';
import { Composer } from './composer.tsx';
import { EndDialog } from './end-dialog.tsx';
import { useProviders } from './fields.tsx';
import { fork } from './fork.ts';
import { nameOf } from './names.ts';
import { OnTheWay } from './on-the-way.tsx';
import { type Sent, useOutbox } from './outbox.ts';
import { PendingApprovals } from './pending-approvals.tsx';

interface ChatProps {
  readonly session: Session;
  readonly reload: () => void;
  /** Whether a change of the server is about this session. */
  readonly isOwn: (change: Changed) => boolean;
}

const RUNNING: readonly Session['status'][] = ['starting', 'busy', 'awaiting_input'];
const MAX_TITLE = 80;

export function Chat({ session, reload, isOwn }: ChatProps) {
  const { id, status } = session;
  const turns = useLoad((signal) => turnsOf(id, signal), [id], isOwn);
  const { transcript, error } = useEvents({ session: id });
  const begun = useBegun(transcript);
  const outbox = useOutbox(id, () => {
    reload();
    turns.reload();
  });
  for (const { jobId, prompt } of turns.data ?? []) transcript.name(jobId, prompt);
  for (const { messageId, prompt } of outbox.sent) if (messageId !== null) transcript.name(messageId, prompt);
  const known = new Set((turns.data ?? []).map(({ jobId }) => jobId));
  const arrived = outbox.sent
    .filter((one) => hasArrived(one, transcript, known, begun))
    .map(({ key }) => key);
  useEffect(() => outbox.drop(arrived), [arrived.join()]);
  const waiting = (turns.data ?? []).filter(
    ({ jobId, finishedAt }) => finishedAt === null && !begun.has(jobId),
  );
  const running = RUNNING.includes(status);
  const mayWrite = may('sessions:write') && status !== 'closed';
  const stop = (): Promise<boolean> => act(() => client.sessions.interrupt(id), 'Stopped');
  useKeys(mayWrite && running ? [{ keys: 'Escape Escape', does: 'stop the turn', act: stop }] : []);
  const isEmpty = transcript.items.length === 0 && waiting.length === 0 && outbox.sent.length === 0;
  return (
    <div class="chat">
      <Head session={session} turns={turns.data ?? []} reload={reload} />
      <div class="chat-body">
        <div class="chat-main">
          {error !== null && <Failure error={error} retry={() => location.reload()} />}
          {isEmpty && session.turns === 0 && (
            <Empty title="Nothing was said yet">
              <p>The first message begins the conversation.</p>
            </Empty>
          )}
          <Transcript items={transcript.items} follow />
          <OnTheWay
            waiting={waiting}
            sent={outbox.sent.filter(({ key }) => !arrived.includes(key))}
            onAgain={outbox.again}
            onDrop={({ key }) => outbox.drop([key])}
          />
          <PendingApprovals sessionId={id} isOwn={isOwn} />
          {mayWrite ? (
            <Writing session={session} running={running} onSend={outbox.send} onStop={stop} />
          ) : (
            <p class="notice chat-end">
              {status === 'closed'
                ? 'This session is closed. It takes no further message.'
                : 'You may read this session, and not write to it.'}
            </p>
          )}
        </div>
        <ChatFacts session={session} />
      </div>
    </div>
  );
}

type WritingProps = Pick<Parameters<typeof Composer>[0], 'running' | 'onSend' | 'onStop'> & {
  readonly session: Session;
};

function Writing({ session, ...rest }: WritingProps) {
  const providers = useProviders(({ name }) => name === session.provider);
  const steers = providers.data?.[0]?.capabilities['steer'] === true;
  return <Composer {...rest} sessionId={session.id} steers={steers} />;
}

async function turnsOf(id: string, signal: AbortSignal): Promise<readonly Turn[]> {
  const turns: Turn[] = [];
  let cursor: string | null = null;
  do {
    const query = { limit: 100, ...(cursor === null ? {} : { cursor }) };
    const page = await client.sessions.turns(id, query, { signal });
    turns.push(...page.data);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return turns;
}

/** The jobs whose turn has begun, by the transcript. Each item is looked at once. */
function useBegun(transcript: TranscriptState): ReadonlySet<string> {
  const seen = useRef({ transcript, jobs: new Set<string>(), items: 0 });
  if (seen.current.transcript !== transcript) seen.current = { transcript, jobs: new Set(), items: 0 };
  const { jobs } = seen.current;
  for (const { jobId } of transcript.items.slice(seen.current.items)) jobs.add(jobId);
  seen.current.items = transcript.items.length;
  return jobs;
}

/** Whether the conversation itself shows a message by now. */
function hasArrived(
  { messageId, jobId, prompt }: Sent,
  { items }: TranscriptState,
  known: ReadonlySet<string>,
  begun: ReadonlySet<string>,
): boolean {
  if (messageId !== null)
    return items.some((item) => item.kind === 'prompt' && item.steered && item.text === prompt);
  return jobId !== null && (known.has(jobId) || begun.has(jobId));
}

interface HeadProps {
  readonly session: Session;
  readonly turns: readonly Turn[];
  readonly reload: () => void;
}

function Head({ session, turns, reload }: HeadProps) {
  const [ends, setEnds] = useState<'close' | 'delete' | null>(null);
  const { id, name, status, statusReason, nativeSessionId } = session;
  const title = visibleText(name ?? firstLine(turns[0]?.prompt ?? nameOf(session)));
  useTitle(title);
  return (
    <header class="head">
      <h1 class="clip" title={title}>
        {title}
      </h1>
      <SessionStatusBadge status={status} />
      {statusReason !== null && <span class="soft mono">{statusReason}</span>}
      {may('sessions:write') && (
        <div class="actions">
          {nativeSessionId !== null && <Button onPress={() => fork(id)}>Fork</Button>}
          <Button look="danger" onPress={() => setEnds(status === 'closed' ? 'delete' : 'close')}>
            {status === 'closed' ? 'Delete' : 'Close'}
          </Button>
        </div>
      )}
      {ends !== null && (
        <EndDialog
          session={session}
          what={ends}
          onClose={() => setEnds(null)}
          onDone={() => (ends === 'delete' ? go('/sessions', { replace: true }) : reload())}
        />
      )}
    </header>
  );
}

function firstLine(text: string): string {
  const line = text.trim().split('\n')[0] ?? '';
  return line.length > MAX_TITLE ? `${line.slice(0, MAX_TITLE)}…` : line;
}
