import type { Problem } from '../errors.ts';
import { ApiError } from './failures.ts';

const MAX_QUOTED = 200;

/** The error an answer stands for; one that is not problem+json (a proxy's page) is quoted in short. */
export async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => ''); // broke off: the status says enough
  const { status } = response;
  const body = objectIn(text);
  const shown = text.trim().replaceAll(/\s+/g, ' ').slice(0, MAX_QUOTED);
  return new ApiError({
    status,
    code: stringIn(body, 'code') ?? 'unknown',
    detail: stringIn(body, 'detail') ?? `the server answered ${status}${shown === '' ? '' : `: ${shown}`}`,
    errors: problemsIn(body['errors']),
    requestId: stringIn(body, 'requestId'),
    retryAfterMs: retryAfterMs(response.headers.get('retry-after')),
  });
}

/** Retry-After as Bullpen sends it, in whole seconds; a date (RFC 9110 allows one) counts as not said. */
function retryAfterMs(header: string | null): number | null {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : null;
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {}; // the caller quotes the text
  }
}

const stringIn = (body: Readonly<Record<string, unknown>>, name: string): string | null => {
  const value = body[name];
  return typeof value === 'string' ? value : null;
};

function problemsIn(value: unknown): readonly Problem[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown) => {
    const problem = typeof one === 'object' && one !== null ? { ...one } : {};
    const path = stringIn(problem, 'path');
    const message = stringIn(problem, 'message');
    return path === null || message === null ? [] : [{ path, message }];
  });
}
