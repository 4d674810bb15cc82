/**
 * The recording of a terminal: an asciicast v2 file. The append of each output begins at once, so a
 * server that is killed loses what was under way: most often nothing, else the last lines, of which
 * one may be incomplete.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import type { TerminalSize } from '../protocol/terminal.ts';

/** The last line of a recording that has reached its maximum. */
const CUT_MARK = 'the recording ends here: it has reached its maximum size';
/** Of what is not in the file yet. */
const HIGH_WATER_BYTES = 1024 * 1024;
const PART_BYTES = 256 * 1024;

export interface Recording {
  output(bytes: Buffer): void;
  resized(size: TerminalSize): void;
  /** The disk is slower than the program, which must wait. */
  readonly isFull: boolean;
  /** Resolves when all is in the file. */
  close(): Promise<void>;
}

export interface RecordingOptions {
  readonly file: string;
  readonly size: TerminalSize;
  readonly maxBytes: number;
  /** Milliseconds by any clock that is not set meanwhile. */
  now(): number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** The file cannot be written. Nothing is recorded from then on. */
  onFailure(error: Error): void;
  /** `isFull` has become false. */
  onDrain(): void;
}

export function createRecording({
  file,
  size,
  maxBytes,
  now,
  startedAt,
  onFailure,
  onDrain,
}: RecordingOptions): Recording {
  const begin = now();
  const stream = createWriteStream(file, { flags: 'a', mode: 0o600 });
  const decoder = new StringDecoder('utf8');
  let bytes = 0;
  let isOpen = true;
  stream.on('error', (error) => {
    isOpen = false;
    onFailure(error);
    onDrain();
  });
  stream.on('drain', onDrain);

  const write = (value: unknown): void => {
    const line = `${JSON.stringify(value)}\n`;
    bytes += Buffer.byteLength(line);
    stream.write(line);
  };
  const event = (code: string, data: string): void => {
    if (!isOpen || data === '') return;
    const seconds = Math.round(now() - begin) / 1000;
    // A character takes at most six bytes in the file.
    isOpen = bytes + data.length * 6 < maxBytes || bytes + Buffer.byteLength(JSON.stringify(data)) < maxBytes;
    write(isOpen ? [seconds, code, data] : [seconds, 'm', CUT_MARK]);
  };

  write({ version: 2, width: size.cols, height: size.rows, timestamp: Math.floor(startedAt / 1000) });
  return {
    output: (data) => event('o', decoder.write(data)),
    resized: ({ cols, rows }) => event('r', `${cols}x${rows}`),
    get isFull() {
      return stream.writableLength > HIGH_WATER_BYTES && isOpen;
    },
    async close() {
      event('o', decoder.end());
      isOpen = false;
      stream.end();
      await finished(stream).catch(() => undefined); // onFailure has it
    },
  };
}

/**
 * A part of the file from a byte on, which ends with a whole line.
 * @throws the system's error, ENOENT when there is no recording
 */
export async function readRecording(
  file: string,
  from: number,
): Promise<{ readonly text: string; readonly next: number | null }> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    // A part has one line at least, however long that is.
    for (let length = PART_BYTES; ; length *= 4) {
      const buffer = Buffer.alloc(Math.max(0, Math.min(length, size - from)));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
      const end = buffer.subarray(0, bytesRead).lastIndexOf(0x0a) + 1;
      const isAll = from + bytesRead >= size;
      if (end === 0 && !isAll) continue;
      return { text: buffer.toString('utf8', 0, end), next: isAll ? null : from + end };
    }
  } finally {
    await handle.close();
  }
}

/** What a recording says, in order. A line that is incomplete is left out. */
export type Recorded =
  | { readonly kind: 'size'; readonly size: TerminalSize }
  | { readonly kind: 'output'; readonly data: string };

export async function* playRecording(file: string): AsyncIterable<Recorded> {
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    const recorded = parseLine(line);
    if (recorded !== null) yield recorded;
  }
}

function parseLine(line: string): Recorded | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (Array.isArray(value)) {
    const [, code, data] = value as readonly unknown[]; // a line of the file that this server wrote
    if (code === 'o' && typeof data === 'string') return { kind: 'output', data };
    const size = code === 'r' && typeof data === 'string' ? /^(\d+)x(\d+)$/.exec(data) : null;
    return size && { kind: 'size', size: { cols: Number(size[1]), rows: Number(size[2]) } };
  }
  if (typeof value !== 'object' || value === null || !('width' in value) || !('height' in value)) return null;
  return { kind: 'size', size: { cols: Number(value.width), rows: Number(value.height) } };
}
