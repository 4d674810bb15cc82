import type { JobPage } from '../client/answers.ts';
import type { Client } from '../client/client.ts';
import { ApiError, UnreachableError } from '../client/errors.ts';
import { AppError } from '../errors.ts';
import type { CommandContext, OwnServer } from './command.ts';
import { CommandError, noServer } from './command-error.ts';
import { formatDuration } from './duration.ts';
import { EXIT } from './exit-codes.ts';
import type { Found, ServerPlace } from './find-server.ts';

const LOOK_EVERY_MS = 250;
const TRY_EVERY_MS = 500;
/** Half a minute: a server starts and stops in a few seconds, but for the first start of all. */
const BUSY_FOR_MS = 30_000;
const MAX_TRIES = 60;
/** `bullpen serve &` needs a moment before it is announced. */
export const APPEARS_WITHIN_MS = 1000;
/** A `bullpen serve` that has left may be under restart: its place is not taken at once. */
const RESTARTS_WITHIN_MS = 10_000;
/** How many of the jobs that stay behind are named. */
const MAX_NAMED = 5;

/** The server a command works with. Disposing of it stops one that was started for the command. */
export interface JobServer extends AsyncDisposable {
  /** Of the server that serves now. */
  readonly client: Client;
  /**
   * To be called with what a call has failed with. When the server has left, there is another one afterwards: one
   * that others have started, else one of this command's own.
   * @param jobIn the folder of the job that is waited for
   * @throws `error` when the server is still there, or was named by BULLPEN_URL
   */
  replace(error: unknown, jobIn: string, signal: AbortSignal): Promise<void>;
}

interface Running {
  readonly kind: 'running';
  readonly client: Client;
  readonly of: ServerPlace['of'];
}

/**
 * The server, waited for while it starts or stops.
 * @param appearsWithinMs how long one that is not even announced is waited for
 */
export async function findServer(
  { finder, output, sleep }: CommandContext,
  appearsWithinMs: number,
): Promise<Found> {
  let told = false;
  for (let waitedMs = 0; ; waitedMs += LOOK_EVERY_MS) {
    const found = await finder.find();
    if (found.kind === 'found' || waitedMs >= (found.busy ? BUSY_FOR_MS : appearsWithinMs)) return found;
    if (found.busy && !told) output.note(`${found.why}; waiting for it`, 'dim');
    told ||= found.busy;
    await sleep(LOOK_EVERY_MS);
  }
}

/** The server that runs, or why there is none. One that starts or stops is waited for. */
export async function runningServer(
  context: CommandContext,
  appearsWithinMs = 0,
): Promise<Running | Extract<Found, { kind: 'none' }>> {
  const found = await findServer(context, appearsWithinMs);
  if (found.kind === 'none') return found;
  const client = context.client(found.place);
  try {
    await client.ready();
  } catch (error) {
    // Any answer at all, also an error, is a server's: the request that matters will tell.
    if (error instanceof UnreachableError && error.refused) {
      return { kind: 'none', why: `no server is running at ${found.place.url}`, busy: false };
    }
  }
  return { kind: 'running', client, of: found.place.of };
}

/** For a command that waits for a job in `cwd`. @throws CommandError when no server runs */
export async function serverToWaitFor(context: CommandContext, cwd = context.cwd): Promise<JobServer> {
  const found = await findServer(context, APPEARS_WITHIN_MS);
  if (found.kind === 'none') throw noServer(found);
  const { of } = found.place;
  return joined(context, { kind: 'running', client: context.client(found.place), of }, cwd);
}

/** The server of another command works in the folder that was typed in; from now on in this one, too. */
export async function joined(context: CommandContext, running: Running, cwd: string): Promise<JobServer> {
  if (running.of === 'command') await context.allowFolder(cwd);
  return jobServer(context, running, cwd);
}

/**
 * Starts a server in this process; or takes the one that another command has started meanwhile, for a data
 * folder has one server at a time.
 * @param cwd where jobs run, unless the settings name roots
 * @throws CommandError when it was interrupted meanwhile, else what kept the server from starting
 */
export async function startOwnServer(context: CommandContext, cwd: string): Promise<JobServer> {
  const { interrupts, output } = context;
  let interrupted = false;
  const listening = interrupts.listen(() => {
    interrupted = true;
    output.note('stops as soon as the server has started; once more leaves at once', 'dim');
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
 * @param first the server that serves now
 * @param cwd where jobs of a server that is started in its place may run, unless the settings name roots
 */
function jobServer(context: CommandContext, first: Running | Owned, cwd: string): JobServer {
  let current: Running | Owned = first;
  return {
    get client() {
      return current.client;
    },
    async replace(error, jobIn, signal) {
      const named = (await context.finder.home()) === null;
      if (named || current.kind === 'owned' || !hasLeft(error)) throw error;
      const running = await runningServer(context, current.of === 'command' ? 0 : RESTARTS_WITHIN_MS);
      signal.throwIfAborted();
      if (running.kind === 'running') {
        if (running.of === 'command') await context.allowFolder(cwd);
        current = running;
        return;
      }
      context.output.note(`${running.why}; starting one to go on`, 'dim');
      try {
        current = await ownOrShared(context, { cwd, jobIn }, () => signal.aborted);
      } catch (failure) {
        if (!(failure instanceof AppError) || failure.code !== 'cwd.not_allowed') throw failure;
        const message = `the server has left, and one started from here may not run jobs in ${jobIn}; the job goes on with the next server: cd ${jobIn} && bullpen serve`;
        throw new CommandError(EXIT.unavailable, message, { cause: failure });
      }
    },
    async [Symbol.asyncDispose]() {
      if (current.kind === 'owned') await current.leave();
    },
  };
}

const hasLeft = (error: unknown): boolean =>
  error instanceof UnreachableError || (error instanceof ApiError && error.code === 'server.stopping');

interface Owned {
  readonly kind: 'owned';
  readonly client: Client;
  /** Waits for the jobs of others, then stops the server. */
  leave(): Promise<void>;
}

async function ownOrShared(
  context: CommandContext,
  folders: Parameters<CommandContext['startServer']>[0],
  interrupted: () => boolean,
): Promise<Owned | Running> {
  const since = context.now().toISOString();
  for (let tries = 0; ; tries += 1) {
    try {
      return owned(context, await context.startServer(folders), since);
    } catch (error) {
      const locked = error instanceof AppError && error.code === 'config.locked';
      if (!locked || tries >= MAX_TRIES) throw error;
      if (interrupted()) throw new CommandError(EXIT.cancelled, 'interrupted');
      if (tries === 0)
        context.output.note('another command is starting or stopping one; waiting for it', 'dim');
    }
    await context.sleep(TRY_EVERY_MS);
    const running = await runningServer(context);
    if (running.kind === 'running') return running;
  }
}

function owned(context: CommandContext, server: OwnServer, since: string): Owned {
  const client = context.client({ ...server, of: 'command' });
  const hurry = new AbortController();
  let over = false;
  // From here on no signal ends the process: the first is about the job, the next about everything.
  const held = context.interrupts.listen((count) => {
    if (over || count > 1) hurry.abort();
  });
  return {
    kind: 'owned',
    client,
    async leave() {
      over = true;
      try {
        await othersDone(context, client, since, hurry.signal);
      } catch {
        // Interrupted, or the server is in no state to wait for.
      } finally {
        await server.stop(hurry.signal);
        held[Symbol.dispose]();
      }
    },
  };
}

const UNFINISHED = ['queued', 'scheduled', 'running'] as const;

/**
 * Other commands may have found this server: waits for the jobs that were made since it started and run, are queued
 * or will be tried again. Those that are due later, and older ones, are named: the next server has them.
 */
async function othersDone(
  { output, sleep, now }: CommandContext,
  client: Client,
  since: string,
  signal: AbortSignal,
): Promise<void> {
  for (let told = false; await isUsed(client, since, signal); told = true) {
    if (!told) output.note('other jobs use this server; stops after them (Ctrl-C: now)', 'dim');
    await sleep(TRY_EVERY_MS, signal);
  }
  const left = await client.list({ status: UNFINISHED, limit: 100 }, { signal });
  if (left.data.length > 0) output.note(leftLine(left, now()), 'yellow');
}

async function isUsed(client: Client, since: string, signal: AbortSignal): Promise<boolean> {
  const query = { status: UNFINISHED, createdAfter: since, limit: 100 };
  let page = await client.list(query, { signal });
  for (;;) {
    if (page.data.some(({ waitReason }) => waitReason !== 'delayed')) return true;
    if (page.nextCursor === null) return false;
    page = await client.list({ ...query, cursor: page.nextCursor }, { signal });
  }
}

function leftLine({ data, nextCursor }: JobPage, now: Date): string {
  const named = data.slice(0, MAX_NAMED).map(({ id, status, scheduledFor }) => {
    const due = scheduledFor === null ? null : Math.max(0, Date.parse(scheduledFor) - now.getTime());
    return `${id} (${due === null ? status : `due in ${formatDuration(due)}`})`;
  });
  const count = `${data.length}${nextCursor === null ? '' : ' or more'}`;
  const rest = data.length > named.length ? ', …' : '';
  const jobs = count === '1' ? '1 job goes' : `${count} jobs go`;
  return `${jobs} on with the next server: ${named.join(', ')}${rest}`;
}
