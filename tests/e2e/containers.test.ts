/**
 * The images and the services of the compose file, outside a container: their start and
 * health-check commands. Not run are an engine, `npm ci`, `apt-get` and the download of claude: the
 * modules are those of this checkout, and a fake CLI is in claude's place.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import {
  environmentOf,
  environmentOfImage,
  filled,
  healthCheckOf,
  lastOf,
  ofStage,
  ROOT,
  readCompose,
} from '../helpers/containers.ts';
import { eventually } from '../helpers/eventually.ts';
import { installFakeCli } from '../helpers/fake-cli.ts';
import { isAlive } from '../helpers/proc.ts';
import { PROGRAM } from '../helpers/program.ts';
import { CACHE_DIR } from '../helpers/redis-private.ts';
import { shared, whenOver } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';

const NODE_FIRST = [dirname(process.execPath), process.env['PATH']].join(delimiter);
const SECRET = '0123456789abcdef0123456789abcdef';
/** The places of the images that each test has elsewhere. */
const PLACES = ['/data', '/workspace', '/run/secrets/executor'] as const;

/** `/app` of an image, and `/usr/local/bin` with its claude. */
interface Image {
  readonly app: string;
  readonly bin: string;
}

/** Its `dist` is that of all tests: package.test.ts builds by the commands of the image. */
const image = shared(async (): Promise<Image> => {
  const app = tempDir();
  for (const line of ofStage('runtime', 'COPY')) {
    const [, stage, source = '', target = ''] = /^(?:--from=(\S+) )?(\S+) (\S+)$/.exec(line) ?? [];
    if (stage === 'build')
      cpSync(join(PROGRAM, '../..', source.replace('/app/', '')), join(app, target), { recursive: true });
    else if (stage === 'dependencies') symlinkSync(join(ROOT, 'node_modules'), join(app, target));
    else if (stage === undefined) cpSync(join(ROOT, source), join(app, target, source));
  }
  const bin = tempDir();
  await installFakeCli(bin);
  return { app, bin };
});

/** A container that is none: folders of its own in the places of the image. */
interface Container {
  /** Of the data folder. */
  readonly data: string;
  /** Exit code of a command inside it. */
  exec(command: readonly string[]): Promise<number>;
  start(): ChildProcess;
}

async function create(stage: string, given: Readonly<Record<string, string>>): Promise<Container> {
  const { app, bin } = await image();
  const place = tempDir();
  const own = (text: string): string =>
    PLACES.reduce((path, name) => path.replace(new RegExp(`^${name}(?=/|$)`), join(place, name)), text);
  for (const folder of ['/data/home', '/workspace', '/run/secrets'])
    mkdirSync(join(place, folder), { recursive: true, mode: 0o700 });
  writeFileSync(own('/run/secrets/executor'), `${SECRET}\n`, { mode: 0o600 });
  const env = Object.fromEntries(
    Object.entries({ ...environmentOfImage(stage), ...given }).map(([name, value]) => [name, own(value)]),
  );
  const options = {
    cwd: app,
    env: { PATH: [bin, NODE_FIRST].join(delimiter), BULLPEN_CACHE: CACHE_DIR, ...env },
  };
  return {
    data: own('/data'),
    async exec([command = '', ...args]) {
      const child = spawn(command, args, { ...options, stdio: 'ignore', timeout: 20_000 });
      const [code] = await once(child, 'exit');
      return code;
    },
    start() {
      const [command = '', ...args]: string[] = JSON.parse(lastOf(stage, 'ENTRYPOINT'));
      const child = spawn(command, args, { ...options, stdio: 'ignore' });
      whenOver(async () => {
        if (child.pid === undefined || !isAlive(child.pid)) return;
        child.kill('SIGKILL');
        await once(child, 'exit');
      });
      return child;
    },
  };
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return String(typeof address === 'object' ? address?.port : '');
}

/** Starts it, and waits until its health check passes, as an engine does. */
async function startHealthy(container: Container, check: readonly string[]): Promise<ChildProcess> {
  expect(await container.exec(check)).toBe(1);
  const child = container.start();
  await eventually(async () => (await container.exec(check)) === 0, { timeoutMs: 60_000, intervalMs: 500 });
  return child;
}

async function stopped(child: ChildProcess, signal: string): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill(signal as NodeJS.Signals); // the STOPSIGNAL of the image
  const [code] = await exited;
  return code;
}

describe('the images', () => {
  it('the executor without a secret does not start', async () => {
    const container = await create('executor', { BULLPEN_ALLOW_PLAIN_HTTP: 'on' });
    const [code] = await once(container.start(), 'exit');
    expect(code).toBe(78);
  });
});

describe('the services of the profile executor', { timeout: 240_000 }, () => {
  const { services } = readCompose();
  const shell = {
    ...{ CLAUDE_SERVICE_SECRET_FILE: './executor-secret', ARCH_MODE: 'modular' },
    ANTHROPIC_API_KEY: 'offline', // without a login it is not healthy
  };
  const commandOf = ({ healthcheck }: (typeof services)['executor']): readonly string[] =>
    healthcheck.test.slice(1).map((part) => filled(part, {}));

  it('start, are healthy, run a job of the server in the executor, and stop in order', async () => {
    const port = await freePort();
    const executor = await create('executor', {
      ...environmentOf(services.executor, shell),
      CLAUDE_SERVICE_PORT: port,
    });
    const { REDIS_URL: _, ...own } = environmentOf(services.bullpen, shell); // its own Redis in its place
    // So that the server's image by itself, as `docker run` starts it, is started here too.
    const { BULLPEN_HOME, BULLPEN_CWD, BULLPEN_HOST } = environmentOfImage('server');
    expect(own).toMatchObject({ BULLPEN_HOME, BULLPEN_CWD, BULLPEN_HOST });
    const serverPort = await freePort();
    const workspace = join(dirname(executor.data), 'workspace');
    const server = await create('server', {
      ...own,
      BULLPEN_PORT: serverPort,
      CLAUDE_SERVICE_URL: `http://127.0.0.1:${port}`,
      BULLPEN_CWD: workspace, // the volume that both have
    });
    const running = await startHealthy(executor, commandOf(services.executor));
    const main = await startHealthy(server, healthCheckOf('server'));

    const token = readFileSync(join(server.data, 'token'), 'utf8').trim();
    const answer = await fetch(`http://127.0.0.1:${serverPort}/v1/jobs?wait=60`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'in a container' }),
    });
    const job = (await answer.json()) as Job; // the documented answer
    expect(job.outcome).toMatchObject({ error: null, executor: 'http' });
    expect(job.cwd).toBe(workspace);

    expect(await stopped(main, lastOf('server', 'STOPSIGNAL'))).toBe(0);
    expect(await server.exec(healthCheckOf('server'))).toBe(1);
    expect(await stopped(running, lastOf('executor', 'STOPSIGNAL'))).toBe(0);
  });
});
