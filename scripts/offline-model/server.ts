import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AnswerState, answer } from './answer.ts';
import { parseBehaviour, type Step } from './behaviour.ts';
import { type RecordedRequest, RequestLog } from './request-log.ts';

/**
 * A running offline model: a development tool for tests and the demo, never a part of the product.
 */
export interface OfflineModel extends AsyncDisposable {
  /** For example `http://127.0.0.1:40123`; the base URL to give to a CLI. */
  readonly url: string;
  /** Every request so far, in the order of arrival. */
  readonly requests: readonly RecordedRequest[];
  /**
   * What to do for prompts without directives: directives, steps, or null for the default reply.
   * Resets the `times=` counts.
   *
   * @throws DirectiveError when the directives cannot be read.
   */
  setBehaviour(behaviour: string | readonly Step[] | null): void;
  /**
   * Resolves with the turns asked for so far once they are `count`; rejects after `timeoutMs` (10
   * 000 by default).
   */
  waitForRequests(count: number, timeoutMs?: number): Promise<readonly RecordedRequest[]>;
  /** Lets every hanging request go on and end with the default reply. Later ones hang again. */
  releaseHangs(): void;
  /** Cuts every open request and closes the port. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts the offline model on a loopback address (127.0.0.1 and any free port by default). It needs
 * no account and no network. Any API key is accepted except `wrong-key`, which is always refused
 * with 401, as is none.
 *
 * @throws when `host` is not a loopback address, or the port is taken.
 */
export async function startOfflineModel(
  options: { port?: number; host?: string } = {},
): Promise<OfflineModel> {
  const { port = 0, host = '127.0.0.1' } = options;
  if (!['127.0.0.1', '::1', 'localhost'].includes(host)) throw new Error(`Not a loopback address: ${host}`);
  let hangs = Promise.withResolvers<void>();
  const state: AnswerState = {
    log: new RequestLog(),
    refusals: new Map(),
    setting: [],
    released: hangs.promise,
  };
  const stopping = new AbortController();
  const answers = new Set<Promise<void>>();

  const server = createServer((request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, stopping.signal]);
    const answered = answer(request, response, state, signal)
      .catch((error: unknown) => {
        // A client that goes away in the middle is a part of the game; anything else is a bug of
        // this tool.
        if (!signal.aborted && !request.destroyed) console.error('The offline model failed.', error);
        response.destroy();
      })
      .finally(() => answers.delete(answered));
    answers.add(answered);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo; // a TCP server that listens has one

  const stop = async (): Promise<void> => {
    stopping.abort();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await Promise.all([closed, ...answers]);
  };
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    requests: state.log.entries,
    setBehaviour(behaviour) {
      state.setting = typeof behaviour === 'string' ? parseBehaviour(behaviour) : (behaviour ?? []);
      state.refusals.clear();
    },
    waitForRequests: (count, timeoutMs = 10_000) => state.log.waitForTurns(count, timeoutMs),
    releaseHangs() {
      hangs.resolve();
      hangs = Promise.withResolvers<void>();
      state.released = hangs.promise;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
