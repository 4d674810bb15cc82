/**
 * `npm run bench`: Bullpen beside the command line and the vendor's Agent SDK, measured in one run, in turns.
 *
 *   --quick          few repetitions: to see that it works, not to quote
 *   --only a,b       some of latency, throughput, resources, cancel, recovery, overhead, start, parser, flood, scale, readers
 *   --json PATH      the JSON there instead of bench-results/<date>.json
 *   --built          the server from dist/ (npm run build first)
 *   --profile        node's CPU profile of the server during `overhead`, with its hottest functions
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { redisCacheDir } from '../../src/redis/private/cache-dir.ts';
import { findRedisServer } from '../../src/redis/private/find-server.ts';
import { startPrivateRedis } from '../../src/redis/private/private-server.ts';
import { startOfflineModel } from '../offline-model/server.ts';
import { measureCancel } from './cancel.ts';
import { measureFlood } from './flood.ts';
import { measureLatency } from './latency.ts';
import { machineFacts } from './machine.ts';
import { measureOverhead } from './overhead.ts';
import { measureParser } from './parser.ts';
import { hottestFunctions } from './profile.ts';
import { measureReaders } from './readers.ts';
import { measureRecovery } from './recovery.ts';
import { renderMachine, renderSection } from './report.ts';
import { measureResources } from './resources.ts';
import { isMet } from './results.ts';
import { measureScale } from './scale.ts';
import { installAgentSdk } from './sdk-install.ts';
import { startBenchServer, stopAllServers } from './server.ts';
import type { Section, Setting } from './setting.ts';
import { measureStart } from './start.ts';
import { measureThroughput } from './throughput.ts';
import { warmNotes } from './warm-settings.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const RESULTS = join(ROOT, 'bench-results');
const PARTS = [
  'latency',
  'throughput',
  'resources',
  'cancel',
  'recovery',
  'overhead',
  'start',
  'parser',
  'flood',
  'scale',
  'readers',
] as const;
type Part = (typeof PARTS)[number];

const isPart = (name: string): name is Part => PARTS.some((part) => part === name);

function readOptions() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: PARTS.join(',') },
      json: { type: 'string' },
      built: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
    },
  });
  const names = values.only.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !isPart(name));
  if (unknown.length > 0)
    throw new Error(`there is no part ${unknown.join(', ')}; there are ${PARTS.join(', ')}`);
  const parts = PARTS.filter((part) => names.includes(part));
  const date = new Date().toISOString().replaceAll(':', '-').slice(0, 19);
  return {
    ...values,
    parts,
    json: values.json === undefined ? join(RESULTS, `${date}.json`) : resolve(values.json),
  };
}

const log = (line: string): void => console.error(line);

async function main(): Promise<void> {
  const options = readOptions();
  mkdirSync(RESULTS, { recursive: true });
  const dataDir = mkdtempSync(join(RESULTS, 'data-'));
  const home = realpathSync(mkdtempSync(join(tmpdir(), 'bullpen-bench-')));
  const workspace = join(home, 'workspace');
  mkdirSync(workspace);
  const clean = (): void => {
    for (const dir of [dataDir, home]) rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stopAllServers();
      clean();
      process.exit(130);
    });
  }
  try {
    await using model = await startOfflineModel();
    const path = [join(ROOT, 'node_modules/.bin'), process.env['PATH']].join(delimiter);
    const cacheDir = redisCacheDir(process.env['XDG_CACHE_HOME']);
    const binary = await findRedisServer({ cacheDir, path, onProgress: log });
    const env = {
      PATH: path,
      HOME: home,
      BULLPEN_CACHE: dirname(cacheDir),
      ANTHROPIC_BASE_URL: model.url,
      ANTHROPIC_API_KEY: 'offline',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_AUTOUPDATER: '1',
    };
    let folders = 0;
    const newFolder = (): string => {
      folders += 1;
      return join(dataDir, String(folders));
    };
    const claude = realpathSync(join(ROOT, 'node_modules/.bin/claude'));
    const sdk = await installAgentSdk(join(RESULTS, 'sdk'), log);
    if ('missing' in sdk) log(sdk.missing);
    const setting: Setting = {
      quick: options.quick,
      dataDir,
      workspace,
      env,
      claude,
      sdk,
      newFolder,
      log,
      server: (own = {}) =>
        startBenchServer({
          built: options.built,
          home: newFolder(),
          workspace,
          ...own,
          env: { ...env, ...own.env },
        }),
      redis: () =>
        startPrivateRedis({
          dir: newFolder(),
          binary,
          requestChannel: 'claude:cli:requests',
          responseChannel: 'claude:cli:responses',
        }),
    };
    const facts = await machineFacts({
      redisVersion: binary.version,
      claude,
      sdkVersion: 'missing' in sdk ? 'not installed' : sdk.version,
      dataDir,
      env,
    });
    const notes = warmNotes();
    console.log([renderMachine(facts), ...notes].join('\n'));

    const profileDir = join(dataDir, 'profile');
    const nodeOptions = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${profileDir}`] : [];
    const measure: Record<Part, () => Promise<Section>> = {
      latency: () => measureLatency(setting),
      throughput: () => measureThroughput(setting),
      resources: () => measureResources(setting),
      cancel: () => measureCancel(setting),
      recovery: () => measureRecovery(setting),
      overhead: () => measureOverhead(setting, nodeOptions),
      start: () => measureStart(setting),
      parser: () => measureParser(setting),
      flood: () => measureFlood(setting),
      scale: () => measureScale(setting),
      readers: () => measureReaders(setting),
    };
    const sections: Record<string, Section> = {};
    for (const part of options.parts) {
      const startedAt = performance.now();
      const section = await measure[part]();
      log(`${part} took ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
      sections[part] = section;
      console.log(renderSection(section));
    }
    if (options.profile)
      console.log(`\nThe main process's own time:\n${hottestFunctions(profileDir).join('\n')}`);

    const goals = Object.values(sections).flatMap(({ rows }) => rows.map(isMet));
    console.log(
      `\n${goals.filter((met) => met === true).length} goals met, ${goals.filter((met) => met === false).length} missed`,
    );
    writeFileSync(
      options.json,
      `${JSON.stringify({ date: new Date().toISOString(), quick: options.quick, machine: facts, notes, sections }, null, 2)}\n`,
    );
    console.log(`written to ${options.json}`);
  } finally {
    clean();
  }
}

try {
  await main();
} catch (error) {
  console.error(`The benchmark failed: ${messageOf(error)}`);
  stopAllServers(); // one that was left behind would keep this process
  process.exitCode = 1;
}
