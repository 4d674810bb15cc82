/** Messages on their way: each is shown at once, and sent exactly once. */
import { useCallback, useState } from 'preact/hooks';
import { randomId } from '../../../client/calls.ts';
import type { Delivery } from '../../../protocol/session.ts';
import { client } from '../../server.ts';
import { messageOf } from '../../ui/states.tsx';

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

/** @param onSent the server has a message */
export function useOutbox(sessionId: string, onSent: (message: Sent) => void): Outbox {
  const [sent, setSent] = useState<readonly Sent[]>([]);
  const change = (key: string, fields: Partial<Sent>): void =>
    setSent((all) => all.map((one) => (one.key === key ? { ...one, ...fields } : one)));

  const post = async (message: Sent): Promise<void> => {
    const { key, prompt, delivery } = message;
    change(key, { state: 'sending', problem: null });
    try {
      const answer = await deliver(sessionId, prompt, delivery, key);
      change(key, { state: 'sent', ...answer });
      onSent({ ...message, ...answer });
    } catch (error) {
      change(key, { state: 'failed', problem: messageOf(error) });
    }
  };
  return {
    sent,
    send(prompt, delivery) {
      const place = { state: 'sending', problem: null, jobId: null, messageId: null } as const;
      const message: Sent = { key: randomId(), prompt, delivery, ...place };
      setSent((all) => [...all, message]);
      void post(message);
    },
    again: (message) => void post(message),
    drop: useCallback((keys: readonly string[]) => {
      if (keys.length > 0) setSent((all) => all.filter(({ key }) => !keys.includes(key)));
    }, []),
  };
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
