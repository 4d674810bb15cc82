/** A new try after a lost answer makes nothing twice. */
import { useState } from 'preact/hooks';
import { randomId } from '../../client/calls.ts';
import { mayResume } from '../../client/errors.ts';

interface Options {
  readonly idempotencyKey: string;
}

/**
 * Sends with a key that stays the same for the same content until the server has answered. Rejects
 * as `send` does.
 */
export type Send = <T>(content: unknown, send: (options: Options) => Promise<T>) => Promise<T>;

export function createSend(): Send {
  const unanswered = new Map<string, string>();
  return async (given, send) => {
    const content = JSON.stringify(given);
    const idempotencyKey = unanswered.get(content) ?? randomId();
    unanswered.set(content, idempotencyKey);
    try {
      const answer = await send({ idempotencyKey });
      unanswered.delete(content);
      return answer;
    } catch (error) {
      if (!mayResume(error)) unanswered.delete(content);
      throw error;
    }
  };
}

/** The same for a component. */
export const useSend = (): Send => useState(createSend)[0];
