/**
 * Messages on their way: each is shown at once, sent exactly once, and kept in this tab until the
 * server has taken it.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { randomId } from '../../../client/calls.ts';
import type { Delivery } from '../../../protocol/session.ts';
import { client } from '../../server.ts';
import { keepText, keptText } from '../../ui/draft.ts';
import { messageOf } from '../../ui/states.tsx';

const LEFT = 'The page was left before the server had answered.';

export interface Sent {
  /** The same for every try, so that the server takes the message once. */
  readonly key: string;
  readonly prompt: string;
  readonly delivery: Delivery;
  readonly state: 'sending' | 'sent' | 'failed';
  /** Why it could not be sent; null: it could. */
  readonly problem: string | null;
  /** The job of the turn that has it, once the server has said so. */
  readonly jobId: string | null;
  /** Of a message into the running turn. */
  readonly messageId: string | null;
}

export interface Outbox {
  readonly sent: readonly Sent[];
  send(prompt: string, delivery: Delivery): void;
  again(message: Sent): void;
  drop(keys: readonly string[]): void;
}

/** Outlives the screen of its session. */
interface Box extends Outbox {
  /** Called after each change. `isTaken`: the server has just taken a message. */
  readonly readers: Set<(isTaken: boolean) => void>;
}

/** By session. */
const boxes = new Map<string, Box>();

function openBox(sessionId: string): Box {
  const name = `outbox ${sessionId}`;
  const kept = JSON.parse(keptText(name) ?? '[]') as readonly Sent[]; // as: what `set` has kept
  let sent = kept.map((one): Sent => ({ ...one, state: 'failed', problem: one.problem ?? LEFT }));
  const readers: Box['readers'] = new Set();
  const set = (next: typeof sent, isTaken = false): void => {
    sent = next;
    const unanswered = next.filter(({ state }) => state !== 'sent');
    keepText(name, unanswered.length === 0 ? '' : JSON.stringify(unanswered));
    for (const read of readers) read(isTaken);
  };
  const change = (key: string, fields: Partial<Sent>): void =>
    set(
      sent.map((one) => (one.key === key ? { ...one, ...fields } : one)),
      fields.state === 'sent',
    );
  const post = async ({ key, prompt, delivery }: Sent): Promise<void> => {
    change(key, { state: 'sending', problem: null });
    try {
      change(key, { state: 'sent', ...(await deliver(sessionId, prompt, delivery, key)) });
    } catch (error) {
      change(key, { state: 'failed', problem: messageOf(error) });
    }
  };
  return {
    readers,
    get sent() {
      return sent;
    },
    send(prompt, delivery) {
      const place = { state: 'sending', problem: null, jobId: null, messageId: null } as const;
      const message: Sent = { key: randomId(), prompt, delivery, ...place };
      set([...sent, message]);
      void post(message);
    },
    again: (message) => void post(message),
    drop(keys) {
      if (keys.length > 0) set(sent.filter(({ key }) => !keys.includes(key)));
    },
  };
}

/** @param onTaken the server has taken a message */
export function useOutbox(sessionId: string, onTaken: () => void): Outbox {
  const box = boxes.get(sessionId) ?? openBox(sessionId);
  boxes.set(sessionId, box);
  const [, render] = useState(0);
  const latest = useRef(onTaken);
  latest.current = onTaken;
  useEffect(() => {
    const read = (isTaken: boolean): void => {
      render((n) => n + 1);
      if (isTaken) latest.current();
    };
    box.readers.add(read);
    read(false); // an answer may have come since the first rendering
    return () => void box.readers.delete(read);
  }, [box]);
  return box;
}

async function deliver(
  sessionId: string,
  prompt: string,
  delivery: Delivery,
  idempotencyKey: string,
): Promise<Pick<Sent, 'jobId' | 'messageId'>> {
  if (delivery === 'steer') {
    const { jobId, messageId, delivered } = await client.sessions.steer(sessionId, prompt, {
      idempotencyKey,
    });
    return { jobId, messageId: delivered === 'steered' ? messageId : null };
  }
  const job = await client.sessions.message(sessionId, { prompt, delivery }, { idempotencyKey });
  return { jobId: job.id, messageId: null };
}
