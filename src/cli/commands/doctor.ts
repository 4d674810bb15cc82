import { accessSync, constants, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readiness } from '../../client/answers.ts';
import type { Client } from '../../client/client.ts';
import { messageOf } from '../../errors.ts';
import type { ProviderReport } from '../../protocol/server-info.ts';
import type { Command, CommandContext } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { failureMessage } from '../failure-message.ts';
import { oneLine } from '../plain-text.ts';
import { runningServer, startOwnServer } from '../server-for-job.ts';

const LOOK_EVERY_MS = 250;
const MAX_LOOKS = 40;

type Mark = 'ok' | 'note' | 'bad';

/** One line of the report. `bad`: jobs fail until somebody does something. */
interface Finding {
  readonly mark: Mark;
  readonly what: string;
  readonly detail: string;
}

const SIGN = { ok: ['green', 'ok  '], note: ['yellow', '-   '], bad: ['red', 'BAD '] } as const;

export const doctorCommand: Command = {
  name: 'doctor',
  usage: '',
  summary: 'check everything a job needs, and say what to do',
  details: `Looks at Node, the data folder, the server, its Redis and every provider. Without a running server one is started
for the checks and stopped after them. Exit code 1 when jobs of the default provider cannot succeed as it is.`,
  options: {},
  examples: ['bullpen doctor'],
  async run(context, { positionals }) {
    if (positionals.length > 0) throw usageError('doctor takes no arguments');
    let bad = false;
    const tell = ({ mark, what, detail }: Finding): void => {
      bad ||= mark === 'bad';
      const [style, sign] = SIGN[mark];
      context.output.text(`${context.output.paint(style, sign)}${what.padEnd(15)} ${oneLine(detail)}\n`);
    };
    tell({ mark: 'ok', what: 'bullpen', detail: `${context.version}, Node ${process.versions.node}` });
    try {
      await examine(context, tell);
    } catch (error) {
      tell({ mark: 'bad', what: 'server', detail: failureMessage(error, null).text });
    }
    if (bad) context.output.note('something must be done before jobs can succeed', 'red');
    return bad ? EXIT.failed : EXIT.succeeded;
  },
};

async function examine(context: CommandContext, tell: (finding: Finding) => void): Promise<void> {
  const home = await context.finder.home();
  if (home !== null) tell(dataFolder(home));
  const running = await runningServer(context);
  if (running.kind === 'running') {
    tell({ mark: 'ok', what: 'server', detail: `runs at ${running.client.url}` });
    return examineServer(context, running.client, tell);
  }
  if (home === null) return tell({ mark: 'bad', what: 'server', detail: running.why });
  tell({ mark: 'note', what: 'server', detail: `${running.why}; one is started for these checks` });
  await using own = await startOwnServer(context, context.cwd);
  await examineServer(context, own.client, tell);
}

function dataFolder(home: string): Finding {
  const what = 'data folder';
  try {
    const { mode } = statSync(home);
    accessSync(home, constants.R_OK | constants.W_OK | constants.X_OK);
    if ((mode & 0o077) === 0) return { mark: 'ok', what, detail: home };
    return { mark: 'note', what, detail: `${home} is open to other users; do: chmod 700 ${home}` };
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (missing && mayMake(home)) {
      return { mark: 'ok', what, detail: `${home} is made at the first start` };
    }
    return { mark: 'bad', what, detail: messageOf(error) };
  }
}

/** Whether the nearest folder that is there may be written. */
function mayMake(folder: string): boolean {
  const parent = dirname(folder);
  try {
    accessSync(parent, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return missing && parent !== folder && mayMake(parent);
  }
}

async function examineServer(
  context: CommandContext,
  client: Client,
  tell: (finding: Finding) => void,
): Promise<void> {
  for (const finding of readiness(await settled(context, client))) tell(finding);
  // Loading them takes long, and only here is more than the data folder's place needed.
  const { loadSettings } = await import('../../config/load.ts');
  const wanted = loadSettings(context.env, context.cwd).provider;
  const providers = await client.providers();
  for (const provider of providers) for (const finding of ofProvider(provider, wanted)) tell(finding);
  if (providers.every(({ name }) => name !== wanted)) {
    tell({ mark: 'bad', what: wanted, detail: 'is the default provider, and the server does not know it' });
  }
}

/** How ready it is; a server that has just started gets the time its first worker process needs. */
async function settled({ sleep }: CommandContext, client: Client): Promise<Readiness> {
  for (let looks = 0; ; looks += 1) {
    const readiness = await client.ready();
    if (readiness.ready || looks >= MAX_LOOKS) return readiness;
    await sleep(LOOK_EVERY_MS);
  }
}

/** Where the server is ready, what is not right costs no other job (docs/operations.md). */
const readiness = ({ ready, checks }: Readiness): readonly Finding[] =>
  Object.entries(checks).map(([name, { ok, detail }]) => ({
    mark: ok ? 'ok' : ready ? 'note' : 'bad',
    what: name === 'stored' ? 'stored data' : name,
    detail: detail ?? (!ok ? 'does not work' : name === 'stored' ? 'can be read' : 'works'),
  }));

/** A provider nobody asks for may be missing; the default one may not. */
export function ofProvider(provider: ProviderReport, wanted: string): readonly Finding[] {
  const { name, available, authenticated, version, binary, why, todo, fallback } = provider;
  const usable = available && authenticated !== 'no';
  const isDefault = name === wanted;
  const mark: Mark = usable ? 'ok' : isDefault && (available || fallback === null) ? 'bad' : 'note';
  const parts = [
    ...(isDefault ? ['the default'] : []),
    ...(available ? [version ?? 'installed'] : []),
    ...(binary === null ? [] : [binary]),
    ...(available ? [`logged in: ${authenticated}`] : []),
    ...(why === null ? [] : [why]),
    ...(provider.circuit === 'open' ? ['jobs are refused until it has been tried again'] : []),
  ];
  const finding: Finding = { mark, what: name, detail: parts.join(', ') };
  return todo === null
    ? [finding]
    : [finding, { mark: usable ? 'note' : mark, what: '', detail: `to do: ${todo}` }];
}
