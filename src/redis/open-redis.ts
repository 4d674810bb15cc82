import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import { closeConnection, openConnection, untilReady } from './connection.ts';
import { createContact } from './contact.ts';

const READY_WITHIN_MS = 30_000;

/** The main process's connections: one each for commands, for messages, and for the log's blocking read. */
export interface RedisConnections {
  readonly commands: Redis;
  readonly subscriber: Redis;
  readonly blocking: Redis;
  /** How long the command connection has answered without a break. */
  inTouchForMs(): number;
  close(): void;
}

/** @throws AppError redis.unavailable when Redis does not answer within 30 s */
export async function openRedis(url: string, logger: Logger): Promise<RedisConnections> {
  const commands = openConnection(url, 'prompt', 'main', logger);
  const subscriber = openConnection(url, 'patient', 'main-sub', logger);
  const blocking = openConnection(url, 'patient', 'main-log', logger);
  const closeAll = (): void => [commands, subscriber, blocking].forEach(closeConnection);
  try {
    await untilReady(commands, READY_WITHIN_MS);
  } catch (error) {
    closeAll(); // or they would try for ever
    throw error instanceof AppError
      ? error
      : new AppError('redis.unavailable', messageOf(error), { cause: error });
  }
  const contact = createContact(commands);
  return {
    commands,
    subscriber,
    blocking,
    inTouchForMs: contact.inTouchForMs,
    close() {
      contact.stop();
      closeAll();
    },
  };
}
