/** What a run breaks: a Redis, a proxy and a server for each node, and scripted CLIs. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { stringify } from 'yaml';
import { userFolder } from '../../src/config/places.ts';
import { findRedisServer } from '../../src/redis/private/find-server.ts';
import { type PrivateRedis, startPrivateRedis } from '../../src/redis/private/private-server.ts';
import { installFakeCli, readJournal } from '../../tests/helpers/fake-cli.ts';
import { type RedisProxy, startProxy } from './proxy.ts';
import { type SupervisedServer, superviseServer } from './server.ts';

/** Short periods, so that a run of a minute has many of each. */
const SETTINGS = {
  BULLPEN_LOG_LEVEL: 'debug',
  BULLPEN_CONCURRENCY: '4',
  BULLPEN_WARM_PROCESSES: '2',
  BULLPEN_WARM_IDLE_MS: '3000',
  BULLPEN_SESSION_IDLE_MS: '3000',
  BULLPEN_SWEEP_MS: '200',
  BULLPEN_LEASE_MS: '3000',
  BULLPEN_LOCK_MS: '5000',
  BULLPEN_RETRY_BACKOFF_MS: '100',
  BULLPEN_KILL_GRACE_MS: '500',
  BULLPEN_LINGER_MS: '2000',
  BULLPEN_DRAIN_MS: '1000',
};
/** With two servers, some pauses are longer than this: the other server ends the jobs as lost. */
const BESIDE_ANOTHER = { BULLPEN_LEASE_MS: '1500', BULLPEN_NODE_LOST_AFTER_MS: '3500' };

/** What the CLIs wrote down. */
export interface Journal {
  /** `<nodeId>/<id>`: of an execution, or of an idle process. One for each process. */
  readonly markers: readonly string[];
  /** The first line of each prompt that a scripted CLI has read. */
  readonly prompts: readonly string[];
}

export interface System {
  readonly dir: string;
  readonly redis: PrivateRedis;
  /** With full rights, and not through a proxy. */
  readonly admin: Redis;
  readonly proxies: readonly RedisProxy[];
  readonly servers: readonly SupervisedServer[];
  /** TMPDIR of the servers. */
  readonly temp: string;
  readonly workspace: string;
  journal(): Journal;
  /** The longest time without any server that was ready, in ms, since `watchOutages`. */
  longestOutageMs(): number;
  watchOutages(): void;
  stop(): Promise<void>;
}

/** @param more settings of every server, over those of a run */
export async function startSystem(
  dir: string,
  count: number,
  more: {
    readonly config?: Readonly<Record<string, unknown>>;
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<System> {
  const path = process.env['PATH'] ?? '';
  const cache = join(userFolder(process.env, 'XDG_CACHE_HOME', '.cache'), 'bullpen');
  const binary = await findRedisServer({ cacheDir: join(cache, 'redis'), path });
  const redis = await startPrivateRedis({
    dir: join(dir, 'redis'),
    binary,
    requestChannel: 'claude:cli:requests',
    responseChannel: 'claude:cli:responses',
  });
  const { username, password } = new URL(redis.url);
  const socket = redis.socketUrl === null ? null : decodeURIComponent(new URL(redis.socketUrl).pathname);
  const target = socket === null ? { host: '127.0.0.1', port: redis.port } : { path: socket };
  const admin = new Redis({
    ...target,
    username,
    password,
    maxRetriesPerRequest: null,
    retryStrategy: () => 100,
  });
  admin.on('error', () => undefined); // it goes away on purpose

  const workspace = join(dir, 'workspace');
  const temp = join(dir, 'tmp');
  for (const folder of [workspace, temp]) mkdirSync(folder);
  const journal = join(dir, 'journal.jsonl');
  const echoed = join(dir, 'echoed');
  const claude = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal });
  const echo = join(dir, 'bin', 'echo-prompt');
  writeFileSync(echo, `#!/bin/sh\necho "$BULLPEN_EXECUTION_ID" >> '${echoed}'\nexec /bin/cat\n`);
  chmodSync(echo, 0o755);
  const config = join(dir, 'bullpen.config.yaml');
  writeFileSync(
    config,
    stringify({
      providers: { claude: { binary: claude }, custom: { echo: { binary: echo } } },
      ...more.config,
    }),
  );

  let watchedSince: number | null = null;
  let downSince: number | null = null;
  let longestMs = 0;
  const onChange = (): void => {
    const anyUp = servers.some(({ isUp }) => isUp);
    if (!anyUp) downSince ??= performance.now();
    else if (downSince !== null) {
      if (watchedSince !== null) longestMs = Math.max(longestMs, performance.now() - downSince);
      downSince = null;
    }
  };
  const proxies = await Promise.all(Array.from({ length: count }, () => startProxy(target)));
  const servers = proxies.map((proxy, index): SupervisedServer => {
    const own = join(dir, `server-${index + 1}`);
    mkdirSync(join(own, 'home'), { recursive: true });
    const through = (url: string): string => {
      const { username: user, password: secret } = new URL(url);
      return `redis://${user}:${secret}@127.0.0.1:${proxy.port}`;
    };
    return superviseServer({
      index,
      dir: own,
      cwd: workspace,
      onChange: () => onChange(),
      env: {
        ...SETTINGS,
        ...(count > 1 ? BESIDE_ANOTHER : {}),
        PATH: [join(process.execPath, '..'), path].join(delimiter),
        HOME: join(own, 'home'),
        TMPDIR: temp,
        BULLPEN_CACHE: cache,
        BULLPEN_CONFIG: config,
        BULLPEN_CWD: workspace,
        REDIS_URL: through(redis.url),
        BULLPEN_WORKER_REDIS_URL: through(redis.workerUrl),
        PORT: '0',
        ...more.env,
      },
    });
  });

  return {
    dir,
    redis,
    admin,
    proxies,
    servers,
    temp,
    workspace,
    journal() {
      const entries = readJournal(journal);
      const echoes = existsSync(echoed) ? readFileSync(echoed, 'utf8').trim().split('\n') : [];
      return {
        markers: [
          ...entries.flatMap((entry) => (entry.event === 'start' ? [entry.marker ?? 'none'] : [])),
          ...echoes,
        ],
        prompts: entries.flatMap((entry) => (entry.event === 'prompt' ? [entry.firstLine] : [])),
      };
    },
    longestOutageMs: () => longestMs,
    watchOutages() {
      watchedSince = performance.now();
    },
    async stop() {
      await Promise.all(servers.map((server) => server.stop()));
      admin.disconnect();
      await Promise.all(proxies.map((proxy) => proxy.close()));
      await redis.stop();
    },
  };
}
