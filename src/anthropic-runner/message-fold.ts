import type { RawMessageStreamEvent } from '@anthropic-ai/sdk/resources/messages/messages';
import type { RunnerResult } from '../protocol/anthropic-runner.ts';

/** One event of the Messages API's stream. */
export type MessageEvent = RawMessageStreamEvent;

/** The fold over the events of one message. */
export interface MessageFold {
  add(event: MessageEvent): void;
  /** null until the message has ended. */
  result(): RunnerResult | null;
}

/** Starts empty. */
export function createMessageFold(): MessageFold {
  let text = '';
  let model = '';
  let stopReason: string | null = null;
  let usage: Record<string, unknown> = {};
  let stopped = false;
  return {
    add(event) {
      switch (event.type) {
        case 'message_start':
          model = event.message.model;
          usage = { ...event.message.usage };
          break;
        case 'content_block_delta':
          if (event.delta.type === 'text_delta') text += event.delta.text;
          break;
        case 'message_delta':
          stopReason = event.delta.stop_reason;
          usage = { ...usage, ...told(event.usage) }; // totals, not differences
          break;
        case 'message_stop':
          stopped = true;
          break;
        default: // block starts and stops, and what a later API adds
      }
    },
    result: () => (stopped ? { type: 'result', text, model, stop_reason: stopReason, usage } : null),
  };
}

/** The last event repeats some counts and leaves others null. */
const told = (usage: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== null));
