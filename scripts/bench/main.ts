/**
 * `npm run bench`: Bullpen beside the command line, measured in one run, in turns. Prints tables
 * and writes JSON.
 *
 *   --quick          few repetitions: shows that it works; not to quote
 *   --only a,b       some of latency, throughput, resources, scale, waiting, talk, live, terminals,
 *                    executor, page, load, recovery
 *   --json PATH      the JSON there instead of bench-results/<date>.json
 *   --built          the server from dist/ (npm run build first)
 *   --server DIR     the server of another checkout, for example of an earlier commit
 */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { userFolder } from '../../src/config/places.ts';
import { messageOf } from '../../src/errors.ts';
import { findRedisServer } from '../../src/redis/private/find-server.ts';
import { startOfflineModel } from '../offline-model/server.ts';
import { measureExecutor } from './executor.ts';
import { measureLatency } from './latency.ts';
import { measureLive } from './live.ts';
import { measureLoad } from './load.ts';
import { machineFacts } from './machine.ts';
import { measurePage } from './page.ts';
import { measureRecovery } from './recovery.ts';
import { renderMachine, renderSection } from './report.ts';
import { measureResources } from './resources.ts';
import type { Results, Section } from './results.ts';
import { measureScale } from './scale.ts';
import { startBenchExecutor, startBenchServer, stopAllServers } from './server.ts';
import type { Setting } from './setting.ts';
import { measureTalk } from './talk.ts';
import { measureTerminals } from './terminals.ts';
import { measureThroughput } from './throughput.ts';
import { measureWaiting } from './waiting.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const RESULTS = join(ROOT, 'bench-results');
const PARTS = [
  ...(['latency', 'throughput', 'resources', 'scale', 'waiting', 'talk', 'live', 'terminals'] as const),
  ...(['executor', 'page', 'load', 'recovery'] as const),
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
      server: { type: 'string', default: ROOT },
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

/**
 * The package as it is installed: bin.js beside dist/, without the source, which it would run
 * instead. Returns the path of bin.js.
 */
function builtProgram(checkout: string, folder: string): string {
  mkdirSync(join(folder, 'src'), { recursive: true });
  for (const name of ['package.json', 'src/bin.js']) copyFileSync(join(checkout, name), join(folder, name));
  symlinkSync(join(checkout, 'dist'), join(folder, 'dist'));
  return join(folder, 'src/bin.js');
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
    const cacheDir = join(userFolder(process.env, 'XDG_CACHE_HOME', '.cache'), 'bullpen', 'redis');
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
    const checkout = resolve(options.server);
    const bin = options.built
      ? builtProgram(checkout, join(dataDir, 'package'))
      : join(checkout, 'src/bin.js');
    let folders = 0;
    const newFolder = (): string => {
      folders += 1;
      return join(dataDir, String(folders));
    };
    const claude = realpathSync(join(ROOT, 'node_modules/.bin/claude'));
    const setting: Setting = {
      quick: options.quick,
      workspace,
      env,
      claude,
      newFolder,
      log,
      server: (own = {}) =>
        startBenchServer({
          bin,
          home: newFolder(),
          workspace,
          ...own,
          env: { ...env, ...own.env },
        }),
      executor: (own) =>
        startBenchExecutor({ bin, home: newFolder(), workspace, ...own, env: { ...env, ...own.env } }),
    };
    const facts = await machineFacts({
      redisVersion: binary.version,
      claude,
      dataDir,
      env,
    });
    console.log(renderMachine(facts));
    const measure: Record<Part, () => Promise<Section>> = {
      latency: () => measureLatency(setting),
      throughput: () => measureThroughput(setting),
      resources: () => measureResources(setting),
      scale: () => measureScale(setting),
      waiting: () => measureWaiting(setting),
      talk: () => measureTalk(setting),
      live: () => measureLive(setting),
      terminals: () => measureTerminals(setting),
      executor: () => measureExecutor(setting),
      page: () => measurePage(setting),
      load: () => measureLoad(setting),
      recovery: () => measureRecovery(setting),
    };
    const sections: Record<string, Section> = {};
    for (const part of options.parts) {
      const startedAt = performance.now();
      const section = await measure[part]();
      log(`${part} took ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
      sections[part] = section;
      console.log(`\n${renderSection(section)}`);
    }
    const date = new Date().toISOString();
    const results: Results = { date, quick: options.quick, machine: facts, sections };
    writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
    console.log(`\nwritten to ${options.json}`);
  } finally {
    clean();
  }
}

try {
  await main();
} catch (error) {
  console.error(`The benchmark failed: ${messageOf(error)}`);
  stopAllServers(); // a server left running would keep this process alive
  process.exitCode = 1;
}
