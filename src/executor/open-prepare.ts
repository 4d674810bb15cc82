/** Builds what is needed to prepare executions on this node. */
import { join } from 'node:path';
import { createJobRights } from '../auth/job-rights.ts';
import type { JobTokens } from '../auth/job-tokens.ts';
import type { Keys } from '../auth/keys.ts';
import { configPlaces } from '../config/places.ts';
import type { Settings } from '../config/schema.ts';
import type { Launcher } from '../processes/launcher.ts';
import type { Providers } from '../providers/registry.ts';
import type { RunningApprovals } from '../records/approval-ports.ts';
import type { JobRecords } from '../records/ports.ts';
import type { SessionRecords } from '../records/session-ports.ts';
import type { Copier } from '../store/copier.ts';
import { ledgerFiles } from '../store/open-database.ts';
import type { Store } from '../store/store.ts';
import { createPricing } from '../usage/pricing.ts';
import { createServerProbe, createStateFolders } from './cli-probe.ts';
import { createKnownSessions, storedSessions, storedTotals } from './known-sessions.ts';
import type { PrepareOptions } from './prepare.ts';
import { createPrivatePaths } from './private-paths.ts';
import { createUntrustedEnvironment } from './untrusted-environment.ts';
import { warmSettings } from './warm/cli-starter.ts';

export interface OpenPrepareOptions {
  /** With all roots in which jobs may run. */
  readonly settings: Settings;
  /** The server's own environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nodeId: string;
  readonly providers: Providers;
  readonly environment: PrepareOptions['environment'];
  readonly launcher: Pick<Launcher, 'launch'>;
  readonly keys: Keys;
  readonly jobTokens: JobTokens;
  readonly records: Pick<JobRecords, 'events'>;
  readonly sessionRecords: Pick<SessionRecords, 'read'>;
  readonly approvals: Pick<RunningApprovals, 'ofJob' | 'unanswered' | 'openIn'>;
  readonly store: Store;
  readonly copier: Copier;
  /** Of the ledger. */
  readonly databaseFile: string;
}

export function openPrepare({
  settings,
  env,
  nodeId,
  providers,
  environment,
  launcher,
  keys,
  jobTokens,
  records,
  sessionRecords,
  approvals,
  store,
  copier,
  databaseFile,
}: OpenPrepareOptions): PrepareOptions {
  const scratchDir = join(settings.home, 'tmp');
  return {
    ...{ nodeId, providers, environment, jobTokens, settings, scratchDir },
    probe: createServerProbe(env, settings.roots),
    stateFolders: createStateFolders(),
    pricing: createPricing(settings.prices),
    rights: createJobRights(keys),
    untrusted: createUntrustedEnvironment({ launch: launcher.launch }),
    privatePaths: createPrivatePaths({
      ...{ dataFolder: settings.home, scratchDir, providers, environment },
      others: [settings.cacheDir, ...ledgerFiles(databaseFile), ...configPlaces(env, process.cwd())],
    }),
    limits: settings,
    warm: warmSettings(settings),
    sessions: createKnownSessions(storedSessions(store, copier), storedTotals(store)),
    readEvents: records.events,
    ...{ sessionRecords, approvals },
  };
}
