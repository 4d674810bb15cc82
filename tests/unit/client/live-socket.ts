/** A WebSocket whose other end is a test. */
import type { LiveOptions } from '../../../src/client/live.ts';
import { createLive, type Live, type LiveStatus } from '../../../src/client/live.ts';
import type { LiveMessage, LiveRequest } from '../../../src/protocol/live.ts';
import { eventually } from '../../helpers/eventually.ts';

export class ScriptedSocket extends EventTarget {
  readonly url: string;
  readonly sent: LiveRequest[] = [];
  closed = false;

  constructor(url: string) {
    super();
    this.url = url;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  open(): void {
    this.dispatchEvent(new Event('open'));
  }

  /** The server says this. */
  say(message: Partial<LiveMessage>): void {
    const whole = { data: {}, timestamp: '2026-11-30T12:00:00Z', message_id: 's', ...message };
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(whole) }));
  }

  /** The server answers the `at`-th message; a negative one counts from the last. */
  answer(at: number, message: Partial<LiveMessage> = {}): void {
    const replyTo = this.sent.at(at)?.message_id ?? 'none';
    this.say({ type: 'status', reply_to: replyTo, ...message });
  }

  lose(code = 1006, reason = ''): void {
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
  }

  /** What it was asked to do, without the ids. */
  get asked(): readonly unknown[] {
    return this.sent.map(({ message_id: _, ...rest }) => rest);
  }
}

export interface ScriptedLive {
  readonly live: Live;
  readonly sockets: readonly ScriptedSocket[];
  readonly statuses: readonly LiveStatus[];
  readonly waits: readonly number[];
  /** The socket with this number, once it was opened and its `auth` is answered. */
  connected(at: number): Promise<ScriptedSocket>;
}

/** A live connection of scripted sockets that waits no real time. */
export function scriptedLive(options: Partial<LiveOptions> = {}): ScriptedLive {
  const sockets: ScriptedSocket[] = [];
  const statuses: LiveStatus[] = [];
  const waits: number[] = [];
  const live = createLive({
    url: 'http://127.0.0.1:3000/',
    auth: () => ({ token: 'bp_test' }),
    resumeDelaysMs: [100, 200],
    silenceMs: 60_000,
    patienceMs: 60_000,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      waits.push(ms);
    },
    onStatus: (status) => void statuses.push(status),
    openSocket(url) {
      const socket = new ScriptedSocket(url);
      sockets.push(socket);
      return socket;
    },
    ...options,
  });
  return {
    live,
    sockets,
    statuses,
    waits,
    async connected(at) {
      const socket = await eventually(() => sockets[at] ?? null);
      socket.open();
      socket.answer(0);
      return socket;
    },
  };
}
