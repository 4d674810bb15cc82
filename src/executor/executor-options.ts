import type { Logger } from 'pino';
import type { Failpoint } from '../failpoint.ts';
import type { Circuits } from '../limits/circuits.ts';
import type { Launch } from '../processes/launch.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import type { Claims } from '../records/ports.ts';
import type { ExecutionLimits } from './execution.ts';
import type { Ledger } from './ports.ts';
import type { PrepareOptions } from './prepare.ts';
import { createUntrustedEnvironment, type UntrustedEnvironment } from './untrusted-environment.ts';
import type { WarmSettings } from './warm/warm-settings.ts';

export interface ExecutorOptions {
  readonly claims: Claims;
  readonly ledger: Ledger;
  readonly prepare: Omit<PrepareOptions, 'maxLineBytes' | 'maxTextBytes' | 'keepsSessions' | 'untrusted'>;
  /** The environment in a folder that is not trusted. Default: by what git says of the folder. */
  readonly untrusted?: UntrustedEnvironment;
  readonly limits: ExecutionLimits;
  readonly scanner: ProcScanner;
  /** How a CLI is started. */
  readonly launch: Launch;
  readonly concurrency: number;
  readonly warm: WarmSettings;
  /** How much of the processors' time nobody uses, 0 to 1; as the system says, when left out. */
  idleShare?(): number;
  readonly circuits: Circuits;
  readonly leaseMs: number;
  readonly sweepMs: number;
  readonly retryBackoffMs: number;
  /** Without contact to Redis for so long another node may end our executions: end them ourselves first. */
  readonly cutOffMs: number;
  /** Whether other nodes are registered. */
  othersRegistered(): boolean;
  onSuperseded(): void;
  /** The outcome of a job has been sent to its record. */
  onSent(jobId: string): void;
  readonly logger: Logger;
  readonly failpoint?: Failpoint;
}

/** What a preparation needs of them. */
export const prepareOptions = (
  options: ExecutorOptions,
  findSession: PrepareOptions['findSession'],
): PrepareOptions => ({
  ...options.prepare,
  findSession,
  maxLineBytes: options.limits.maxLineBytes,
  maxTextBytes: options.limits.maxResultBytes,
  keepsSessions: options.warm.sessionIdleMs > 0 && options.warm.maxProcesses > 0,
  untrusted: options.untrusted ?? createUntrustedEnvironment({ launch: options.launch }),
});
