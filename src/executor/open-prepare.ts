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
import { backgroundOf } from './turn.ts';
import { createUntrustedEnvironment } from './untrusted-environment.ts';
import { warmSettings } from './warm/cli-starter.ts';

export interface HostOptions {
  /** With all roots in which jobs may run. */
  readonly settings: Settings;
  /** The server's own environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nodeId: string;
  readonly providers: Providers;
  readonly environment: PrepareOptions['environment'];
  readonly launcher: Pick<Launcher, 'launch'>;
  /** Of the ledger. */
  readonly databaseFile: string;
}

type HostPart = Exclude<
  keyof PrepareOptions,
  'rights' | 'jobTokens' | 'sessions' | 'readEvents' | 'background'
>;

/** What this host, its CLIs and the settings decide: the same wherever the prompts come from. */
export function onThisHost({
  settings,
  env,
  nodeId,
  providers,
  environment,
  launcher,
  databaseFile,
}: HostOptions): Pick<PrepareOptions, HostPart> {
  const scratchDir = join(settings.home, 'tmp');
  return {
    ...{ nodeId, providers, environment, settings, scratchDir },
    probe: createServerProbe(env, settings.roots),
    stateFolders: createStateFolders(),
    pricing: createPricing(settings.prices),
    untrusted: createUntrustedEnvironment({ launch: launcher.launch }),
    privatePaths: createPrivatePaths({
      ...{ dataFolder: settings.home, scratchDir, providers, environment },
      others: [
        settings.cacheDir,
        ...ledgerFiles(databaseFile),
        ...configPlaces(env, process.cwd()),
        ...(settings.serviceSecretFile === null ? [] : [settings.serviceSecretFile]),
      ],
    }),
    limits: settings,
    warm: warmSettings(settings),
  };
}

export interface OpenPrepareOptions extends HostOptions {
  readonly keys: Keys;
  readonly jobTokens: JobTokens;
  readonly records: Pick<JobRecords, 'events'>;
  readonly sessionRecords: Pick<SessionRecords, 'read'>;
  readonly approvals: Pick<RunningApprovals, 'ofJob' | 'unanswered' | 'openIn'>;
  readonly store: Store;
  readonly copier: Copier;
}

/** For a server, whose records have everything else. */
export function openPrepare({
  keys,
  jobTokens,
  records,
  sessionRecords,
  approvals,
  store,
  copier,
  ...host
}: OpenPrepareOptions): PrepareOptions {
  const sessions = createKnownSessions(storedSessions(store, copier), storedTotals(store));
  const background = { sessions, sessionRecords, approvals, readEvents: records.events };
  return {
    ...onThisHost(host),
    ...{ jobTokens, sessions },
    rights: createJobRights(keys),
    readEvents: records.events,
    background: (claim, request, provider) => backgroundOf(claim, request, provider, background),
  };
}
