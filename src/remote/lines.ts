/** Lines of a stream of JSON texts (NDJSON), read no faster than they are used. */
import type { IncomingMessage } from 'node:http';
import { unavailable } from './signed-requests.ts';

const NEWLINE = 0x0a;

/**
 * The lines of an answer, without their ends. The connection is closed when the reader stops. The
 * time in which the reader does not ask for a line does not count as silence.
 * @throws AppError executor.unavailable when the stream breaks or ends within a line, is silent for
 *   `silentMs`, or a line is longer than `maxLineBytes`
 */
export async function* linesOf(
  response: IncomingMessage,
  { silentMs, maxLineBytes }: { readonly silentMs: number; readonly maxLineBytes: number },
): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  let begunBytes = 0;
  const chunks = response.iterator({ destroyOnReturn: true });
  const next = async () => {
    const silence = setTimeout(
      () => response.destroy(new Error(`the stream was silent for ${silentMs} ms`)),
      silentMs,
    );
    try {
      return await chunks.next();
    } catch (error) {
      throw unavailable(error, true);
    } finally {
      clearTimeout(silence);
    }
  };
  try {
    for (;;) {
      const { done, value } = await next();
      if (done === true) break;
      const chunk = value as Buffer; // no encoding is set
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
        const line = Buffer.concat([...begun, chunk.subarray(from, end)]).toString('utf8');
        begun = [];
        begunBytes = 0;
        from = end + 1;
        yield line;
      }
      begun.push(chunk.subarray(from));
      begunBytes += chunk.length - from;
      if (begunBytes > maxLineBytes)
        throw unavailable(new Error(`a line of more than ${maxLineBytes} bytes`), true);
    }
    if (begunBytes > 0) throw unavailable(new Error('the stream ended within a line'), true);
  } finally {
    response.destroy();
  }
}
