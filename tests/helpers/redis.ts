import { request } from 'node:http';
import { startDockerRedis } from './redis-docker.ts';
import { startPrivateTestRedis } from './redis-private.ts';

export interface TestRedisOptions {
  /** Default `always`. */
  readonly fsync?: 'always' | 'everysec';
  /** The channels a client without a password may use. Default: those of the product. */
  readonly requestChannel?: string;
  readonly responseChannel?: string;
}

/** A real Redis of its own for one test file; append-only file, no eviction. */
export interface TestRedis {
  /** With full rights. */
  readonly url: string;
  /** On 127.0.0.1; stays over kill and restart. */
  readonly port: number;
  /** Ends it and removes its data. Idempotent. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it is gone. Nothing starts it again but {@link restart}. */
  kill(): Promise<void>;
  /**
   * Starts it again on the same port with the data it has on disk, after ending it in order if it
   * runs.
   */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): Promise<void>;
  /** Runs `redis-cli` against it, as a user without a password, and resolves to what it prints. */
  cli(...args: string[]): Promise<string>;
}

/**
 * Starts a Redis: in a container where a Docker engine answers, else the product's private server.
 * `BULLPEN_TEST_REDIS=docker|private` chooses by hand.
 *
 * @throws when neither can be had: a missing Redis is a failure, never a skip
 */
export async function startTestRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const wanted = process.env['BULLPEN_TEST_REDIS'] ?? ((await hasDockerEngine()) ? 'docker' : 'private');
  return wanted === 'docker' ? startDockerRedis(options) : startPrivateTestRedis(options);
}

const DOCKER_PING_TIMEOUT_MS = 1000;
let dockerEngine: Promise<boolean> | undefined;

/** Whether a Docker engine answers on this machine's socket. Looked up once per process. */
export function hasDockerEngine(): Promise<boolean> {
  dockerEngine ??= pingDocker(process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock');
  return dockerEngine;
}

function pingDocker(host: string): Promise<boolean> {
  const socketPath = host.startsWith('unix://') ? host.slice('unix://'.length) : null;
  // A remote engine publishes ports elsewhere than on 127.0.0.1.
  if (socketPath === null) return Promise.resolve(false);
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping', timeout: DOCKER_PING_TIMEOUT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on('timeout', () => ping.destroy());
    ping.on('error', () => resolve(false));
    ping.on('close', () => resolve(false));
    ping.end();
  });
}
