/** Bytes of stderr that are kept for the message of a failed run. */
export const STDERR_TAIL_BYTES = 64 * 1024;

export interface Tail {
  write(chunk: Buffer): void;
  /** The last bytes as UTF-8; starts at a whole character. */
  text(): string;
  clear(): void;
}

/** Keeps the last `maxBytes` of a stream in one ring. Allocates nothing before the first byte. */
export function createTail(maxBytes: number): Tail {
  let ring: Buffer | null = null;
  let next = 0;
  let wrapped = false;

  return {
    write(chunk) {
      ring ??= Buffer.allocUnsafeSlow(maxBytes);
      const last = chunk.length > maxBytes ? chunk.subarray(chunk.length - maxBytes) : chunk;
      if (last.length < chunk.length) wrapped = true;
      const untilEdge = Math.min(last.length, maxBytes - next);
      last.copy(ring, next, 0, untilEdge);
      last.copy(ring, 0, untilEdge);
      if (next + last.length >= maxBytes) wrapped = true;
      next = (next + last.length) % maxBytes;
    },
    clear() {
      next = 0;
      wrapped = false;
    },
    text() {
      if (ring === null) return '';
      if (!wrapped) return ring.toString('utf8', 0, next);
      const bytes = Buffer.concat([ring.subarray(next), ring.subarray(0, next)]);
      let start = 0;
      while (start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
      return bytes.toString('utf8', start);
    },
  };
}
