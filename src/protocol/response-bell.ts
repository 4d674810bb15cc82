/**
 * The doorbells on the responses channel, which carries raw answers too. They are checked without
 * TypeBox: each sandboxed worker loads this module, and TypeBox takes 13 MB.
 */

/** A job's record has this status now; `talk`: a message to its CLI has this state. */
export interface ResponseBell {
  readonly v: 1;
  readonly type: 'finished' | 'scheduled' | 'talk';
  /** 1 to 64 characters. */
  readonly jobId: string;
  readonly status: string;
}

const isType = (type: unknown): type is ResponseBell['type'] =>
  type === 'finished' || type === 'scheduled' || type === 'talk';

/** The beginning of every doorbell from our own scripts, and its greatest length. */
const BELL = '{"v":1,';
const MAX_BELL = 512;
const MAX_ID = 64;

/** A cheap check before parsing: any client may publish, and as much as it likes. */
export const looksLikeBell = (text: string): boolean => text.length <= MAX_BELL && text.startsWith(BELL);

/** Parses a message of the responses channel; null for a raw answer or garbage. */
export function parseResponseMessage(text: string): ResponseBell | null {
  if (!looksLikeBell(text)) return null;
  try {
    const message: Readonly<Record<string, unknown>> = JSON.parse(text); // an object, by its beginning
    const { v, type, jobId, status } = message;
    if (v !== 1 || !isType(type) || typeof status !== 'string') return null;
    return typeof jobId === 'string' && jobId !== '' && jobId.length <= MAX_ID
      ? { v, type, jobId, status }
      : null;
  } catch {
    return null; // any client may publish here; only our own doorbells matter
  }
}
