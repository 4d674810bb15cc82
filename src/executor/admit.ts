/** The last steps before a spawn, and what is done with an execution that must not be spawned. */
import { AppError, isLedgerTrouble, toWire } from '../errors.ts';
import type { Outage } from '../outage.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { Claim, Claims, Finish, LeaseState } from '../records/ports.ts';
import type { Delivery } from './delivery.ts';
import { ABANDONED, backoffAfter, cancelledOutcome, lostFinish } from './outcomes.ts';
import type { Ledger } from './ports.ts';
import type { PrepareOptions } from './prepare.ts';
import type { Runner } from './runner.ts';
import { type Active, obeyLease } from './slots.ts';
import { refuseIfStopped } from './start-cli.ts';

export interface AdmissionOptions {
  readonly claims: Pick<Claims, 'renew'>;
  readonly ledger: Ledger;
  readonly ledgerOutage: Outage;
  readonly delivery: Delivery;
  readonly runner: Pick<Runner, 'lasting'>;
  readonly prepare: Pick<PrepareOptions, 'readEvents'>;
  readonly limits: { readonly maxResultBytes: number };
  readonly retryBackoffMs: number;
  /** Repeats a task while Redis is away. Throws when the execution is stopped meanwhile. */
  withRedis<T>(one: Active, task: () => Promise<T>): Promise<T>;
}

/**
 * `known`: the ledger knew the execution, and it is settled now. `goes on`: an earlier run of this
 * node began it on another host. An outcome: it was cancelled before its spawn.
 */
export type Admitted = 'spawn' | 'goes on' | 'known' | Outcome;

export interface Admission {
  admit(one: Active): Promise<Admitted>;
  /**
   * Never spawns again what the ledger knows: delivers its stored outcome, or that it was lost,
   * with what its events show. The record takes it under the id of the claim.
   * @param why it was lost. Default: the server died
   */
  settleKnown(claim: Claim, why?: AppError): Promise<void>;
}

export function createAdmission(options: AdmissionOptions): Admission {
  const { claims, ledger, ledgerOutage, delivery, runner, prepare, withRedis } = options;

  /**
   * The last steps before a spawn: the intent is on disk, the claim is still ours, the job is not
   * cancelled.
   */
  async function admit(one: Active): Promise<Admitted> {
    const { claim } = one;
    // Nothing may be spawned while Redis is away.
    const lease = withRedis(one, async (): Promise<LeaseState> => (await claims.renew([claim]))[0] ?? 'lost');
    const [isNew, state] = await Promise.all([intend(one), lease]);
    if (!isNew) {
      const entry = await ledger.find(claim);
      const isOpen = entry?.finish === null && entry.executionId === claim.executionId;
      if (isOpen && runner.lasting !== null) {
        if (state !== 'lost') {
          obeyLease(one, state);
          return 'goes on';
        }
        await runner.lasting.abandon(claim.executionId);
      }
      await settleKnown(claim);
      return 'known';
    }
    if (state === 'held') return 'spawn';
    if (state === 'lost')
      throw new AppError('execution.lost', 'another server had already ended this execution');
    if (state === 'abandoned') throw new AppError('execution.lost', ABANDONED);
    return cancelledOutcome(claim.executionId, state === 'interrupt' || state === 'interrupt-force');
  }

  /**
   * Whether the execution is new to the ledger. Waits while the ledger cannot be written (a full
   * disk).
   */
  async function intend({ claim, stop }: Active): Promise<boolean> {
    for (;;) {
      try {
        const isNew = await ledger.intend(claim);
        ledgerOutage.worked();
        return isNew;
      } catch (error) {
        if (!isLedgerTrouble(error)) throw error;
        if (stop.signal.aborted) ledgerOutage.forget();
        refuseIfStopped(stop.signal);
        ledgerOutage.failed(error.message);
      }
      await ledgerOutage.pause(stop.signal);
    }
  }

  async function settleKnown(claim: Claim, why?: AppError): Promise<void> {
    const { jobId, executionId, attempt } = claim;
    const entry = await ledger.find(claim);
    const backoffMs = backoffAfter(attempt, options.retryBackoffMs);
    const from = { readEvents: prepare.readEvents, maxResultBytes: options.limits.maxResultBytes };
    const finish = entry?.finish ?? because(why, await lostFinish({ jobId, executionId, backoffMs }, from));
    if (entry?.finish === null && entry.executionId === executionId) await ledger.ended(finish);
    await delivery.deliver({ ...finish, executionId });
  }

  return { admit, settleKnown };
}

const because = (why: AppError | undefined, finish: Finish): Finish =>
  why === undefined ? finish : { ...finish, outcome: { ...finish.outcome, error: toWire(why) } };
