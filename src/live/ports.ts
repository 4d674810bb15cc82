/** The interface between the core of live connections and its transports. */
import type { Principal } from '../auth/principal.ts';
import type { TicketFor } from '../auth/signed-values.ts';
import type { ErrorCode } from '../errors.ts';
import type { CloseCode } from '../protocol/live.ts';

export type Transport = 'websocket' | 'socket.io';

/** One connection, as its transport shows it to the core. */
export interface LiveSocket {
  /** For logs and metrics. */
  readonly transport: Transport;
  /** The address of the caller. */
  readonly address: string;
  /** Of the handshake; the audit and problems name it. */
  readonly requestId: string;
  /**
   * Sends one encoded message of the given type.
   * @param taken called when the network has taken it
   */
  send(type: string, text: Buffer, taken: () => void): void;
  /** Sends a close with its code, then ends the connection in any case. */
  close(code: CloseCode, reason: string): void;
}

/** Who is at the other end. */
export interface LiveIdentity {
  readonly principal: Principal;
  /** The only thing that it may read, and nothing else: it came with a ticket. Null: no ticket. */
  readonly only: { readonly noun: TicketFor; readonly id: string } | null;
}

/** A session that the connection is about. */
export interface BoundSession {
  readonly sessionId: string;
  /** The last seq that the client has; null: none. */
  readonly after: number | null;
}

/** What the core does with a connection. The transport calls it; no call throws. */
export interface LiveConnection {
  /** A message of the client, as parsed JSON. */
  receive(message: unknown): void;
  /** A message that is not JSON, or is too large. */
  refuse(why: 'malformed' | 'too_large'): void;
  /** The connection has ended. */
  closed(): void;
}

/** Open connections of one transport. */
export interface LiveCount {
  readonly transport: Transport;
  /** Whether they have authenticated. */
  readonly state: 'authenticated' | 'unauthenticated';
  readonly count: number;
}

/** What live connections count for the metrics, and requests too where it says so. */
export interface LiveMeasures {
  /** How to count the open connections; each scrape does. */
  liveConnections(count: () => readonly LiveCount[]): void;
  /** A message of a client has come. */
  received(transport: Transport): void;
  /** A message was sent. */
  sent(transport: Transport): void;
  /** An error was sent. */
  refusedMessage(code: ErrorCode): void;
  /** A live connection had a wrong token, or a request was answered with 401. */
  refusedLogin(): void;
  /** A reader of a live connection, or of a stream, was cut because it was too slow. */
  cutReader(): void;
}

export interface LiveCore {
  /**
   * Takes a connection over.
   * @param identity from the handshake; null: an `auth` message must follow
   * @param bound the session to subscribe to at once; null: none
   */
  accept(socket: LiveSocket, identity: LiveIdentity | null, bound: BoundSession | null): LiveConnection;
  /** The connections that are open. */
  readonly connections: number;
  /** Closes every connection with 1001, and takes no further one. */
  stop(): void;
}
