/**
 * Many readers of one event stream, in a process of their own: says how long each line of line-clock.js took from
 * the CLI to each reader. Started with fork(); is told a {@link StreamTask}, answers `{ready}` once every reader has
 * the head of its answer, and {@link Heard} when the streams have ended. Plain sockets, and nothing is parsed but
 * the times: five hundred clients on the processor of the server they measure must cost little themselves.
 */
import { connect } from 'node:net';

export interface StreamTask {
  readonly url: string;
  readonly token: string;
  readonly path: string;
  readonly count: number;
}

export interface Heard {
  readonly latenciesMs: readonly number[];
  readonly linesPerReader: readonly number[];
}

const MARK = Buffer.from('at=');
/** The last event repeats every line in the job's text. */
const LAST = Buffer.from('event: job.finished');
const HEAD = Buffer.from('HTTP/1.1 200 ');
const DIGITS = 16;
/** What was written before every reader had caught up is past, and not late. */
const SETTLE_US = 500_000;
const BUFFER_BYTES = 256 * 1024;

const now = (): number => (performance.timeOrigin + performance.now()) * 1000;

/** Calls back with each time in a chunk; one that is cut by its end is left out. */
function timesIn(chunk: Buffer, take: (microseconds: number) => void): void {
  for (let at = chunk.indexOf(MARK); at >= 0; at = chunk.indexOf(MARK, at + 1)) {
    const from = at + MARK.length;
    let value = 0;
    for (let i = from; i < from + DIGITS; i += 1) value = value * 10 + (chunk[i] ?? Number.NaN) - 0x30;
    if (!Number.isNaN(value)) take(value);
  }
}

process.on('message', ({ url, token, path, count }: StreamTask) => {
  const { hostname, port } = new URL(url);
  const request = `GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: Bearer ${token}\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n`;
  const latenciesMs: number[] = [];
  const linesPerReader: number[] = [];
  let ready = 0;
  let since = Number.POSITIVE_INFINITY;
  // Read to its end before the next socket writes into it.
  const buffer = Buffer.alloc(BUFFER_BYTES);
  for (let reader = 0; reader < count; reader += 1) {
    let lines = 0;
    let begun = false;
    let over = false;
    const begin = (chunk: Buffer): void => {
      if (!chunk.subarray(0, HEAD.length).equals(HEAD)) throw new Error(`a reader got ${chunk.toString()}`);
      begun = true;
      ready += 1;
      if (ready < count) return;
      since = now() + SETTLE_US;
      process.send?.({ ready: true });
    };
    const callback = (size: number): boolean => {
      const at = now();
      const chunk = buffer.subarray(0, size);
      if (!begun) begin(chunk);
      if (over) return true;
      const last = chunk.indexOf(LAST);
      over = last >= 0;
      timesIn(over ? chunk.subarray(0, last) : chunk, (sent) => {
        lines += 1;
        if (sent > since) latenciesMs.push((at - sent) / 1000);
      });
      return true;
    };
    const socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: { buffer, callback },
    });
    socket.once('connect', () => socket.write(request));
    socket.once('close', () => {
      linesPerReader.push(lines);
      if (linesPerReader.length === count)
        process.send?.({ latenciesMs, linesPerReader }, () => process.exit(0));
    });
  }
});
