import type { Client } from '../client/client.ts';
import { UnreachableError } from '../client/failures.ts';
import { AppError } from '../errors.ts';
import type { CommandContext, OwnServer } from './command.ts';
import { CommandError } from './command-error.ts';
import { EXIT } from './exit-codes.ts';

const TRY_EVERY_MS = 500;
/** Half a minute: a server starts and stops in a few seconds, but for the first start of all. */
const MAX_TRIES = 60;

/** The server a command works with. Disposing of it stops one that was started for the command. */
export interface JobServer extends AsyncDisposable {
  readonly client: Client;
}

/** The server that runs; null, with the reason, when there is none. */
export async function runningServer(context: CommandContext): Promise<Client | { readonly why: string }> {
  const found = await context.finder.find();
  if (found.kind === 'none') return found;
  const client = context.client(found.place);
  try {
    await client.ready();
  } catch (error) {
    // Any answer at all, also an error, is a server's: the request that matters will tell.
    if (error instanceof UnreachableError && error.refused) {
      return { why: `no server is running at ${found.place.url}` };
    }
  }
  return client;
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
  const since = context.now().toISOString();
  const started = await ownOrShared(context, cwd, () => interrupted).finally(() =>
    listening[Symbol.dispose](),
  );
  const server = 'stop' in started ? ownServer(context, started, since) : shared(started);
  if (!interrupted) return server;
  await server[Symbol.asyncDispose]();
  throw new CommandError(EXIT.cancelled, 'interrupted');
}

/** A server that is not ours to stop. */
export const shared = (client: Client): JobServer => ({
  client,
  [Symbol.asyncDispose]: async () => {},
});

async function ownOrShared(
  context: CommandContext,
  cwd: string,
  interrupted: () => boolean,
): Promise<OwnServer | Client> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await context.startServer({ cwd });
    } catch (error) {
      const locked = error instanceof AppError && error.code === 'config.locked';
      if (!locked || tries >= MAX_TRIES) throw error;
      if (interrupted()) throw new CommandError(EXIT.cancelled, 'interrupted');
      if (tries === 0) context.output.note('another command has just started one, or stops it; waits', 'dim');
    }
    await context.sleep(TRY_EVERY_MS);
    const running = await runningServer(context);
    if (!('why' in running)) return running;
  }
}

function ownServer(context: CommandContext, server: OwnServer, since: string): JobServer {
  const client = context.client(server);
  const hurry = new AbortController();
  let over = false;
  // From here on no signal ends the process: the first is about the job, the next about everything.
  const held = context.interrupts.listen((count) => {
    if (over || count > 1) hurry.abort();
  });
  return {
    client,
    async [Symbol.asyncDispose]() {
      over = true;
      try {
        await othersDone(context, client, since, hurry.signal);
      } finally {
        await server.stop(hurry.signal);
        held[Symbol.dispose]();
      }
    },
  };
}

/** Other commands may have found this server: waits for the jobs that were made since it started. */
async function othersDone(
  { output, sleep }: CommandContext,
  client: Client,
  since: string,
  signal: AbortSignal,
): Promise<void> {
  for (let told = false; !signal.aborted; told = true) {
    try {
      const query = { status: ['queued', 'running'], createdAfter: since, limit: 1 } as const;
      if ((await client.list(query, { signal })).data.length === 0) return;
      if (!told) output.note('other jobs use this server; stops after them (Ctrl-C: now)', 'dim');
      await sleep(TRY_EVERY_MS, signal);
    } catch {
      return; // interrupted, or the server is in no state to wait for
    }
  }
}
