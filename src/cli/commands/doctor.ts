import { accessSync, constants, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readiness } from '../../client/answers.ts';
import type { Client } from '../../client/client.ts';
import { messageOf } from '../../errors.ts';
import type { ProviderReport } from '../../protocol/server-info.ts';
import type { Command, CommandContext } from '../command.ts';
import { EXIT, failureMessage, usageError } from '../failures.ts';
import { runningServer } from '../find-server.ts';
import { oneLine } from '../format.ts';
import { startOwnServer } from '../job-server.ts';

const TRY_EVERY_MS = 250;
const MAX_TRIES = 40;

type Mark = 'ok' | 'note' | 'bad';

/** One line of the report. `bad`: jobs fail until the user acts. */
interface Finding {
  readonly mark: Mark;
  readonly what: string;
  readonly detail: string;
}

const SIGN = { ok: ['green', 'ok  '], note: ['yellow', '-   '], bad: ['red', 'BAD '] } as const;

export const doctorCommand: Command = {
  name: 'doctor',
  usage: '',
  summary: 'check everything that a job needs, and print what to do',
  details: `Checks Node, the data folder, the server, its Redis and every provider. Without a
running server, a server is started for the checks and stopped after them. The
exit code is 1 when jobs of the default provider cannot succeed.`,
  options: {},
  examples: ['bullpen doctor'],
  async run(context, { positionals }) {
    if (positionals.length > 0) throw usageError('doctor takes no arguments');
    let bad = false;
    const report = ({ mark, what, detail }: Finding): void => {
      bad ||= mark === 'bad';
      const [style, sign] = SIGN[mark];
      context.output.text(`${context.output.paint(style, sign)}${what.padEnd(15)} ${oneLine(detail)}\n`);
    };
    report({ mark: 'ok', what: 'bullpen', detail: `${context.version}, Node ${process.versions.node}` });
    try {
      await examine(context, report);
    } catch (error) {
      report({ mark: 'bad', what: 'server', detail: failureMessage(error, null).text });
    }
    if (bad) context.output.note('jobs cannot succeed before the problems above are fixed', 'red');
    return bad ? EXIT.failed : EXIT.succeeded;
  },
};

async function examine(context: CommandContext, report: (finding: Finding) => void): Promise<void> {
  const home = await context.finder.home();
  if (home !== null) report(dataFolder(home));
  const running = await runningServer(context);
  if (running.kind === 'running') {
    const how = running.of === 'up' ? ' in the background (bullpen down stops it)' : '';
    report({ mark: 'ok', what: 'server', detail: `runs at ${running.client.url}${how}` });
    return examineServer(context, running.client, report);
  }
  if (home === null) return report({ mark: 'bad', what: 'server', detail: running.why });
  report({ mark: 'note', what: 'server', detail: `${running.why}; starting one for the checks` });
  await using own = await startOwnServer(context, context.cwd);
  await examineServer(context, own.client, report);
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
    if (missing && canMake(home)) {
      return { mark: 'ok', what, detail: `${home} will be made at the first start` };
    }
    return { mark: 'bad', what, detail: messageOf(error) };
  }
}

/** Whether the nearest existing parent folder is writable. */
function canMake(folder: string): boolean {
  const parent = dirname(folder);
  try {
    accessSync(parent, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return missing && parent !== folder && canMake(parent);
  }
}

async function examineServer(
  context: CommandContext,
  client: Client,
  report: (finding: Finding) => void,
): Promise<void> {
  for (const finding of readiness(await finalReadiness(context, client))) report(finding);
  // Loaded here, because it takes a quarter of a second and only this command needs it.
  const { loadSettings } = await import('../../config/load.ts');
  const wanted = loadSettings(context.env, context.cwd).provider;
  const providers = await client.providers();
  for (const provider of providers) for (const finding of ofProvider(provider, wanted)) report(finding);
  if (providers.every(({ name }) => name !== wanted)) {
    report({ mark: 'bad', what: wanted, detail: 'the default provider is unknown to the server' });
  }
}

/** A server that has just started becomes ready when its first worker process runs. */
async function finalReadiness({ sleep }: CommandContext, client: Client): Promise<Readiness> {
  for (let tries = 0; ; tries += 1) {
    const readiness = await client.ready();
    if (readiness.ready || tries >= MAX_TRIES) return readiness;
    await sleep(TRY_EVERY_MS);
  }
}

/** While the server is ready, a failed check does not make jobs fail (docs/operations.md). */
const readiness = ({ ready, checks }: Readiness): readonly Finding[] =>
  Object.entries(checks).map(([name, { ok, detail }]) => ({
    mark: ok ? 'ok' : ready ? 'note' : 'bad',
    what: name === 'stored' ? 'stored data' : name,
    detail: detail ?? (!ok ? 'does not work' : name === 'stored' ? 'can be read' : 'works'),
  }));

/** A missing provider is bad only if it is the default one. */
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
    ...provider.credentials
      .filter(({ status }) => status !== 'ok')
      .map(
        ({ name: login, status, limitedUntil }) =>
          `${login} is ${status} until ${limitedUntil ?? 'it is opened'}`,
      ),
  ];
  const finding: Finding = { mark, what: name, detail: parts.join(', ') };
  return todo === null
    ? [finding]
    : [finding, { mark: usable ? 'note' : mark, what: '', detail: `to do: ${todo}` }];
}
