/** The command that opens the page, logged in. */
import type { Client } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import type { Command } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { resolveJobId, resolveSession, WHOLE_ID } from '../ids.ts';

/** Places of the page by the word that opens them. */
const PLACES: Readonly<Record<string, string>> = {
  inbox: '/',
  jobs: '/jobs',
  sessions: '/sessions',
  usage: '/usage',
  system: '/system',
};

export const openCommand: Command = {
  name: 'open',
  usage: '[PLACE] [--print]',
  summary: 'open the page of the server in the browser, logged in',
  details: `Prints the address, and opens it in the browser. The address logs a browser in as the caller
that this command is, once, within a minute. PLACE is inbox (the default), jobs, sessions,
usage, system, a job or a session.`,
  options: { print: { type: 'boolean', help: 'print the address, and open nothing' } },
  examples: ['bullpen open', 'bullpen open Y3B7C', 'bullpen open jobs --print'],
  async run(context, args) {
    const { output } = context;
    const [given = 'inbox', ...more] = args.positionals;
    if (more.length > 0) throw usageError('open takes one place, job or session');
    const client = await context.connect();
    const path = PLACES[given] ?? (await pathOf(client, given, context.cwd));
    const { code } = await client.createLoginLink();
    const address = `${client.url.replace(/\/+$/, '')}${path}#login=${code}`;
    output.text(`${address}\n`);
    if (args.flag('print')) return EXIT.succeeded;
    if (!(await context.openBrowser(address)))
      output.note('no browser could be started here; open the address yourself, within a minute', 'yellow');
    return EXIT.succeeded;
  },
};

/** A job has a page of its own, and so has a session. A terminal is beside the others. */
async function pathOf(client: Client, given: string, cwd: string): Promise<string> {
  const jobId = await jobOf(client, given);
  if (jobId !== null) return `/jobs/${jobId}`;
  const { id, kind } = await resolveSession(client, given, cwd, null);
  return kind === 'terminal' ? `/terminals/${id}` : `/sessions/${id}`;
}

/** The id of a job; null: it is none. The first job of a session has the id of the session. */
async function jobOf(client: Client, given: string): Promise<string | null> {
  if (given.trim().toLowerCase() === 'last') return null;
  if (!WHOLE_ID.test(given.trim().toUpperCase()))
    return resolveJobId(client, given).catch((error: unknown) => {
      if (error instanceof ApiError && error.code !== 'auth.forbidden') throw error;
      return null; // the search for a session says what is wrong
    });
  try {
    return (await client.get(given.trim().toUpperCase())).id;
  } catch (error) {
    if (error instanceof ApiError && ['job.not_found', 'auth.forbidden'].includes(error.code)) return null;
    throw error;
  }
}
