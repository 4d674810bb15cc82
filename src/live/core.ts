/**
 * The core of live connections. It knows the connections of both transports, and checks all of
 * them once a second.
 */
import type { Authenticator } from '../auth/keyring.ts';
import type { StreamTickets } from '../auth/signed-values.ts';
import { AppError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Redactor } from '../redactor.ts';
import { createCommands, type LiveServices } from './commands.ts';
import { Connection } from './connection.ts';
import { createFeeds, type LiveFeeds } from './feeds.ts';
import { createIdentify } from './identify.ts';
import type { LiveCore, LiveCount, LiveMeasures } from './ports.ts';

const TICK_MS = 1000;
/** Connections that have not authenticated yet. */
const MAX_STRANGERS = 100;

const TOO_MANY = 'too many connections are open';

export interface LiveSettings {
  readonly liveConnections: number;
  readonly liveMessagesPerSecond: number;
}

/** Time, for tests. `every` returns how to stop. */
export interface LiveClock {
  now(): number;
  every(ms: number, act: () => void): () => void;
}

const CLOCK: LiveClock = {
  now: () => performance.now(),
  every(ms, act) {
    const timer = setInterval(act, ms);
    return () => clearInterval(timer);
  },
};

export interface LiveCoreOptions {
  readonly settings: LiveSettings;
  readonly services: LiveServices;
  readonly feeds: LiveFeeds;
  readonly authenticator: Pick<Authenticator, 'authenticateToken' | 'current'>;
  readonly tickets: Pick<StreamTickets, 'find'>;
  readonly redactor: Pick<Redactor, 'value'>;
  readonly measures: LiveMeasures;
  readonly clock?: LiveClock;
  readonly logger: Pick<Log, 'debug' | 'error'>;
}

export function createLiveCore({
  settings,
  services,
  feeds,
  authenticator,
  tickets,
  redactor,
  measures,
  clock = CLOCK,
  logger,
}: LiveCoreOptions): LiveCore {
  const connections = new Set<Connection>();
  const act = createCommands(services);
  const open = createFeeds(feeds);
  const identify = createIdentify(authenticator, tickets);
  let stopTicking: (() => void) | null = null;
  let stopped = false;
  measures.liveConnections(counts);

  function tick(): void {
    for (const connection of connections) connection.tick();
  }

  return {
    get connections() {
      return connections.size;
    },

    accept(socket, identity, bound) {
      const about = { transport: socket.transport, from: socket.address, requestId: socket.requestId };
      const connection = new Connection({
        ...{ socket, identity, bound, act, open, identify, redactor, measures, now: clock.now },
        messagesPerSecond: settings.liveMessagesPerSecond,
        find: feeds.sessions.get.bind(feeds.sessions),
        current: authenticator.current,
        onEnd(code) {
          connections.delete(connection);
          if (connections.size === 0) stopTicking?.();
          if (connections.size === 0) stopTicking = null;
          if (code === 4409) measures.cutReader();
          logger.debug({ ...about, code }, 'live connection ended');
        },
        logger,
      });
      connections.add(connection);
      stopTicking ??= clock.every(TICK_MS, tick);
      logger.debug(about, 'live connection began');
      if (stopped) connection.close(1001, 'the server is stopping');
      else if (isFull()) connection.close(4429, TOO_MANY, new AppError('limit.connections', TOO_MANY));
      return connection;
    },

    stop() {
      stopped = true;
      for (const connection of connections) connection.close(1001, 'the server is stopping');
    },
  };

  function counts(): LiveCount[] {
    const all = [...connections];
    return (['websocket', 'socket.io'] as const).flatMap((transport) => {
      const its = all.filter((connection) => connection.transport === transport);
      const strangers = its.filter(({ isStranger }) => isStranger).length;
      return [
        { transport, state: 'authenticated', count: its.length - strangers },
        { transport, state: 'unauthenticated', count: strangers },
      ];
    });
  }

  function isFull(): boolean {
    if (connections.size > settings.liveConnections) return true;
    if (connections.size <= MAX_STRANGERS) return false;
    return [...connections].filter(({ isStranger }) => isStranger).length > MAX_STRANGERS;
  }
}
