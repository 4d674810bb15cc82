import type { IncomingHttpHeaders } from 'node:http';
import type { PlanUse } from './behaviour.ts';

/** An HTTP call as a vendor sees it; `path` carries no query. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

/**
 * One message of a conversation, with only what a person or the model wrote: the CLI's own
 * reminders are gone.
 */
export type Message =
  | { readonly role: 'user'; readonly text: string; readonly toolResults: readonly string[] }
  | { readonly role: 'assistant'; readonly text: string; readonly tools: readonly string[] };

/** A call that asks the model for a turn, in no vendor's words. */
export interface Ask {
  readonly model: string;
  readonly stream: boolean;
  readonly messages: readonly Message[];
  /**
   * Names the conversation, so that `times=` counts within it; null when the client does not say.
   */
  readonly conversation: string | null;
  /** Why this is the CLI's own request and no turn of the user's conversation, else null. */
  readonly own: string | null;
  /**
   * Text that the CLI sends to the model beside the conversation; absent where it is part of that.
   */
  readonly instructions?: string;
  /**
   * The answer must be an instance of this schema: as a call of `tool`, or as text when `tool` is
   * null.
   */
  readonly structured: { readonly tool: string | null; readonly schema: unknown } | null;
}

export type Block =
  | { readonly kind: 'text' | 'thinking'; readonly pieces: readonly string[] }
  | { readonly kind: 'tool'; readonly name: string; readonly input: Readonly<Record<string, unknown>> };

/** What the model says next. `intervalMs` passes between two pieces of a streamed text. */
export interface Turn {
  readonly blocks: readonly Block[];
  readonly intervalMs: number;
}

export interface Failure {
  readonly status: number;
  readonly message: string;
  readonly retryAfterSeconds: number | null;
  /** The plan's limit behind it; left out: there is none. */
  readonly limit?: { readonly name: string; readonly resetsInSeconds: number };
}

export interface JsonAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** Part of a streamed answer; the server waits the turn's interval after a paced one. */
export interface Frame {
  readonly text: string;
  readonly paced: boolean;
}

/** What a call is to a vendor: something it answers at once, or a turn to be made. */
export type Reading = { readonly needsKey: boolean } & (
  | { readonly kind: 'fixed'; readonly answer: JsonAnswer }
  | { readonly kind: 'ask'; readonly ask: Ask }
);

/** One vendor's wire format. `serial` numbers the request and makes its ids. */
export interface Vendor {
  readonly name: string;
  /** The API key in the headers, or null. */
  key(headers: IncomingHttpHeaders): string | null;
  /** Reads a call, or null when the path is not this vendor's. */
  read(call: Call): Reading | null;
  whole(ask: Ask, turn: Turn, serial: number): unknown;
  /** The head of a streamed answer, which says that the model began. */
  opening(ask: Ask, serial: number): string;
  /** The rest of a streamed answer. */
  frames(ask: Ask, turn: Turn, serial: number): Iterable<Frame>;
  failure(failure: Failure, serial: number): JsonAnswer;
  /** How a streamed answer reports the use of a plan. */
  useHeaders?(used: PlanUse): Readonly<Record<string, string>>;
}
