/** What stands in for data: loading, nothing there, and a failure. */
import type { ComponentChildren } from 'preact';
import { ApiError } from '../../client/errors.ts';

/** Grey lines of about the size of what comes, so that nothing moves when it has come. */
export function Loading({ lines = 6 }: { readonly lines?: number }) {
  const widths = ['w90', 'w70', 'w80', 'w60'];
  return (
    <div class="stack" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, i) => (
        <span key={i} class={`skeleton ${widths[i % widths.length]}`} />
      ))}
    </div>
  );
}

interface EmptyProps {
  readonly title: string;
  readonly children?: ComponentChildren;
}

/** Says what would be here, and what to do next. */
export function Empty({ title, children }: EmptyProps) {
  return (
    <div class="state">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** The error as the server words it. `retry` is offered as a button. */
export function Failure({ error, retry }: { readonly error: unknown; readonly retry?: () => void }) {
  return (
    <div class="state failure" role="alert">
      <h2>{titleOf(error)}</h2>
      <p>{messageOf(error)}</p>
      {retry !== undefined && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

const titleOf = (error: unknown): string =>
  !(error instanceof ApiError)
    ? 'The server does not answer'
    : error.status === 404
      ? 'There is no such thing here'
      : error.status === 403
        ? 'You may not see this'
        : 'That did not work';

/** The detail of a problem document, else the message. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
