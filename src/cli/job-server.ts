/**
 * The server of a command that waits for jobs. When it leaves, the command takes or starts another
 * one.
 */
import type { JobPage } from '../client/answers.ts';
import type { Client } from '../client/client.ts';
import { ApiError, UnreachableError } from '../client/errors.ts';
import { AppError } from '../errors.ts';
import type { JobStatus } from '../protocol/job.ts';
import type { CommandContext, ServerFolders, TemporaryServer } from './command.ts';
import { CommandError, EXIT } from './failures.ts';
import { APPEARS_WITHIN_MS, findServer, noServer, type RunningServer, runningServer } from './find-server.ts';
import { formatDuration } from './format.ts';

const TRY_EVERY_MS = 500;
const MAX_TRIES = 60;
/** A `bullpen serve` that stopped may be in a restart; it is not replaced before this time. */
export const RESTARTS_WITHIN_MS = 10_000;
/** How many unfinished jobs are named when the server stops. */
const MAX_NAMED = 5;

/** Disposing of it stops the server if this command started it. */
export interface JobServer extends AsyncDisposable {
  /** Client of the current server. */
  readonly client: Client;
  /**
   * Replaces a server that has left by another running one, or else by one that this command
   * starts.
   * @param error what a call of `client` threw
   * @param jobIn the folder of the job that the command waits for
   * @throws `error` when the server still runs, or was named by BULLPEN_URL
   */
  replace(error: unknown, jobIn: string, signal: AbortSignal): Promise<void>;
}

/**
 * The running server, for a command that waits for a job in `cwd`. @throws CommandError when no
 * server runs
 */
export async function serverToWaitFor(context: CommandContext, cwd = context.cwd): Promise<JobServer> {
  const found = await findServer(context, APPEARS_WITHIN_MS);
  if (found.kind === 'none') throw noServer(found);
  const { of } = found.place;
  return joinServer(context, { kind: 'running', client: context.client(found.place), of }, cwd);
}

/**
 * The running server, for a command that waits for a job in `cwd`; else one that this command
 * starts. @throws CommandError when the environment names a server that does not run
 */
export async function serverOrOwn(context: CommandContext, cwd: string): Promise<JobServer> {
  const running = await runningServer(context);
  if (running.kind === 'running') return joinServer(context, running, cwd);
  const { why } = running;
  // A server that the environment names is not replaced by another one.
  if ((await context.finder.home()) === null) throw new CommandError(EXIT.unavailable, why);
  context.output.note(`${why}; starting one for this command`, 'dim');
  return startOwnServer(context, cwd);
}

/**
 * Sends a request that may be repeated, also to the servers that take the place of the first one.
 * @param jobIn as of {@link JobServer.replace}
 */
export async function toServer<T>(
  server: Pick<JobServer, 'client' | 'replace'>,
  jobIn: string,
  signal: AbortSignal,
  send: (client: Client) => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await send(server.client);
    } catch (error) {
      await server.replace(error, jobIn, signal);
    }
  }
}

/** Not a `bullpen serve`: that one runs jobs only in the folders that its settings name. */
const worksInFoldersOfCommands = ({ of }: RunningServer): boolean => of === 'run' || of === 'up';

/**
 * Uses a running server. That of another command, or of `bullpen up`, may run jobs in `cwd`, too,
 * from now on.
 */
async function joinServer(context: CommandContext, running: RunningServer, cwd: string): Promise<JobServer> {
  if (worksInFoldersOfCommands(running)) await context.allowFolder(cwd);
  return jobServer(context, running, cwd);
}

/**
 * Starts a server in this process. Uses the server of another command when that one starts first,
 * because a data folder has one server at a time.
 * @param cwd where jobs run, unless the settings name roots
 * @throws CommandError after an interrupt; otherwise the error of the start
 */
export async function startOwnServer(context: CommandContext, cwd: string): Promise<JobServer> {
  const { interrupts, output } = context;
  let interrupted = false;
  const listening = interrupts.listen(() => {
    interrupted = true;
    output.note('stopping as soon as the server has started; interrupt again to exit at once', 'dim');
    listening[Symbol.dispose]();
  });
  const started = await ownOrShared(context, { cwd }, () => interrupted).finally(() =>
    listening[Symbol.dispose](),
  );
  const server = jobServer(context, started, cwd);
  if (!interrupted) return server;
  await server[Symbol.asyncDispose]();
  throw new CommandError(EXIT.cancelled, 'interrupted');
}

/**
 * @param first the server that runs now
 * @param cwd where jobs of a replacement may run, unless the settings name roots
 */
function jobServer(context: CommandContext, first: RunningServer | OwnServer, cwd: string): JobServer {
  let current: RunningServer | OwnServer = first;
  return {
    get client() {
      return current.client;
    },
    async replace(error, jobIn, signal) {
      const named = (await context.finder.home()) === null;
      if (named || current.kind === 'own' || !hasLeft(error)) throw error;
      const running = await runningServer(context, current.of === 'run' ? 0 : RESTARTS_WITHIN_MS);
      signal.throwIfAborted();
      if (running.kind === 'running') {
        if (worksInFoldersOfCommands(running)) await context.allowFolder(cwd);
        current = running;
        return;
      }
      context.output.note(`${running.why}; starting one to go on`, 'dim');
      try {
        current = await ownOrShared(context, { cwd, jobIn }, () => signal.aborted);
      } catch (failure) {
        if (!(failure instanceof AppError) || failure.code !== 'cwd.not_allowed') throw failure;
        const why = `the server has left, and a server started here may not run jobs in ${jobIn}`;
        const advice = `the job continues with the next server: cd ${jobIn} && bullpen up`;
        throw new CommandError(EXIT.unavailable, `${why}; ${advice}`, { cause: failure });
      }
    },
    async [Symbol.asyncDispose]() {
      if (current.kind === 'own') await current.leave();
    },
  };
}

/** Whether the server that threw this stops or has stopped. */
export const hasLeft = (error: unknown): boolean =>
  error instanceof UnreachableError || (error instanceof ApiError && error.code === 'server.stopping');

/** A server that this command has started. */
interface OwnServer {
  readonly kind: 'own';
  readonly client: Client;
  /** Waits for the jobs of other commands, then stops the server. */
  leave(): Promise<void>;
}

async function ownOrShared(
  context: CommandContext,
  folders: ServerFolders,
  interrupted: () => boolean,
): Promise<OwnServer | RunningServer> {
  const since = context.now().toISOString();
  for (let tries = 0; ; tries += 1) {
    try {
      return ownServer(context, await context.startServer(folders), since);
    } catch (error) {
      const locked = error instanceof AppError && error.code === 'config.locked';
      if (!locked || tries >= MAX_TRIES) throw error;
      if (interrupted()) throw new CommandError(EXIT.cancelled, 'interrupted');
      if (tries === 0)
        context.output.note('another command is starting or stopping a server; waiting for it', 'dim');
    }
    await context.sleep(TRY_EVERY_MS);
    const running = await runningServer(context);
    if (running.kind === 'running') return running;
  }
}

function ownServer(context: CommandContext, server: TemporaryServer, since: string): OwnServer {
  const client = context.client({ url: server.url, token: server.token, of: 'run' });
  const hurry = new AbortController();
  let leaving = false;
  // From now on no signal ends the process. The first one is for the job; the second one stops the
  // server.
  const listening = context.interrupts.listen((count) => {
    if (leaving || count > 1) hurry.abort();
  });
  return {
    kind: 'own',
    client,
    async leave() {
      leaving = true;
      try {
        await waitForOthers(context, client, since, hurry.signal);
      } catch {
        // An interrupt, or the server cannot list its jobs: it is stopped either way.
      } finally {
        await server.stop(hurry.signal);
        listening[Symbol.dispose]();
      }
    },
  };
}

const UNFINISHED: JobStatus[] = ['queued', 'scheduled', 'waiting', 'running'];

/**
 * Waits for the jobs that other commands have made since the server started: running, queued, or to
 * be tried again. Older jobs, jobs that are due later and those that wait for a person continue
 * with the next server; they are named.
 */
async function waitForOthers(
  { output, sleep, now }: CommandContext,
  client: Client,
  since: string,
  signal: AbortSignal,
): Promise<void> {
  for (let noted = false; await isUsed(client, since, signal); noted = true) {
    if (!noted) output.note('waiting for other jobs that use this server (Ctrl-C: stop now)', 'dim');
    await sleep(TRY_EVERY_MS, signal);
  }
  const left = await client.list({ status: UNFINISHED, limit: 100 }, { signal });
  if (left.data.length > 0) output.note(unfinishedLine(left, now()), 'yellow');
}

/** A job with such a reason may wait for days. */
const WAITS_LONG: ReadonlySet<string | null> = new Set(['delayed', 'approval']);

async function isUsed(client: Client, since: string, signal: AbortSignal): Promise<boolean> {
  const query = { status: UNFINISHED, createdAfter: since, limit: 100 };
  let page = await client.list(query, { signal });
  for (;;) {
    if (page.data.some(({ waitReason }) => !WAITS_LONG.has(waitReason))) return true;
    if (page.nextCursor === null) return false;
    page = await client.list({ ...query, cursor: page.nextCursor }, { signal });
  }
}

function unfinishedLine({ data, nextCursor }: JobPage, now: Date): string {
  const named = data.slice(0, MAX_NAMED).map(({ id, status, scheduledFor }) => {
    const due = scheduledFor === null ? null : Math.max(0, Date.parse(scheduledFor) - now.getTime());
    return `${id} (${due === null ? status : `due in ${formatDuration(due)}`})`;
  });
  const count = `${data.length}${nextCursor === null ? '' : ' or more'}`;
  const rest = data.length > named.length ? ', …' : '';
  const jobs = count === '1' ? '1 job continues' : `${count} jobs continue`;
  return `${jobs} with the next server: ${named.join(', ')}${rest}`;
}
