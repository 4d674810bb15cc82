/**
 * The executor's side of the RPC: hears doorbells on the requests channel and hands them on. It believes none
 * of them: a doorbell only makes the executor look at the records.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import { parseRequestMessage, type RawRequest } from '../protocol/messages.ts';
import type { Doorbells } from './ports.ts';

export interface RpcServerOptions {
  readonly doorbells: Doorbells;
  readonly channel: string;
  /** Something may be claimable. */
  onRun(): void;
  /** A cancel flag may be set. */
  onCancel(jobId: string): void;
  /** A raw request, or why a message is none. Null when raw requests are off. */
  readonly raw: {
    request(request: RawRequest): Promise<void>;
    refused(id: string | number | null, why: string): Promise<void>;
  } | null;
  readonly logger: Logger;
}

export interface RpcServer {
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createRpcServer(options: RpcServerOptions): RpcServer {
  const { doorbells, raw, logger } = options;
  let stopListening: (() => Promise<void>) | null = null;
  const forgetResumed = doorbells.onResumed(() => options.onRun());

  const logFailure = (error: unknown): void =>
    logger.warn({ reason: messageOf(error) }, 'a raw request could not be taken');

  function hear(text: string): void {
    const heard = parseRequestMessage(text);
    switch (heard.kind) {
      case 'bell':
        if (heard.bell.type === 'run') options.onRun();
        else options.onCancel(heard.bell.jobId);
        return;
      case 'raw':
        raw?.request(heard.request).catch(logFailure);
        return;
      case 'refused':
        logger.debug({ why: heard.why }, 'a message was refused');
        raw?.refused(heard.id, heard.why).catch(logFailure);
    }
  }

  return {
    async start() {
      stopListening ??= await doorbells.listen(options.channel, hear);
    },
    async stop() {
      forgetResumed();
      await stopListening?.();
      stopListening = null;
    },
  };
}
