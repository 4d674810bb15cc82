/** What is not possible while CLIs run in an executor on another host. */
import { AppError } from '../errors.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';

/** @throws AppError executor.unsupported */
export function refuseUnsupported({ onPermissionDenied }: Pick<ResolvedPrompt, 'onPermissionDenied'>): void {
  if (onPermissionDenied !== 'ask') return;
  const message = 'CLIs run on another host, where none can ask a person';
  throw new AppError('executor.unsupported', `onPermissionDenied: ${message}`, {
    problems: [{ path: '/onPermissionDenied', message }],
  });
}

/** Sessions that stay open, terminals, and messages to a CLI that runs. */
export const openSessionUnsupported = (): AppError =>
  new AppError(
    'executor.unsupported',
    'CLIs run on another host: there are no open sessions, terminals and messages; a job with `sessionId` continues a conversation',
  );
