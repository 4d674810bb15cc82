import { MAX_MESSAGE_BYTES, type RawAnswer } from '../protocol/messages.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { Claim } from '../records/ports.ts';

/** Where a raw request's own id and answer format ride in the job's metadata. */
export const RAW_ID = 'rawId';
export const RAW_FORMAT = 'rawFormat';

const CUT_MARK = '… [cut]';

/**
 * What is published for a raw request: the CLI's text, or its own result line when JSON was asked for. An
 * answer that would pass 64 KiB is cut and marked.
 */
export function rawAnswer(claim: Claim, outcome: Outcome, lastWord: string | null): string {
  const { metadata } = claim.request;
  const id = rawIdOf(metadata[RAW_ID]);
  if (outcome.error !== null)
    return encode({ id, success: false, error: `${outcome.error.code}: ${outcome.error.message}` });
  const wantsJson = metadata[RAW_FORMAT] !== 'text';
  return encode({ id, success: true, result: wantsJson && lastWord !== null ? lastWord : outcome.text });
}

/** The caller's id as it was written beside the request; null when it is none. */
function rawIdOf(text: string | undefined): string | number | null {
  try {
    const id: unknown = JSON.parse(text ?? 'null');
    return typeof id === 'string' || typeof id === 'number' ? id : null;
  } catch {
    return null;
  }
}

/** The message of an answer, within the size of a message. */
export function encode(answer: RawAnswer): string {
  const whole = JSON.stringify(answer);
  if (Buffer.byteLength(whole) <= MAX_MESSAGE_BYTES) return whole;
  const text = answer.success ? answer.result : answer.error;
  // Escaping at most sextuples a character (\u0000) and UTF-8 takes at most 3 bytes for one UTF-16 unit.
  for (let length = MAX_MESSAGE_BYTES; ; length = Math.floor(length / 2)) {
    const cut = text.slice(0, length) + CUT_MARK;
    const message = JSON.stringify(answer.success ? { ...answer, result: cut } : { ...answer, error: cut });
    if (Buffer.byteLength(message) <= MAX_MESSAGE_BYTES) return message;
  }
}
