/**
 * The credentials of this node: one login of each provider, and its gate. After a usage limit no
 * job of the credential starts before the reset. After a refused login its jobs fail at once for a
 * while: a queue with a wrong key must neither start a process per job nor look like an attack.
 *
 * open → (a refusal) → closed → (time) → one job tries → open, or closed again for longer
 */
import type { Logger } from 'pino';
import { AppError, isRedisTrouble } from '../errors.ts';
import type { Actor } from '../protocol/audit.ts';
import type { RateLimitEvent } from '../protocol/event.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { CredentialReport } from '../protocol/server-info.ts';
import type { Login, Provider } from '../providers/provider.ts';
import type { Providers } from '../providers/registry.ts';
import type { ClosedGate, GateReason, Gates } from '../records/gate-records.ts';
import type { Claim } from '../records/ports.ts';
import type { LoginNames } from './login-names.ts';

const MINUTE_MS = 60_000;

/** How long a gate is closed when no reset is known: it doubles with each refusal in a row. */
const QUOTA_BACKOFF = { firstMs: 5 * MINUTE_MS, maxMs: 60 * MINUTE_MS };
export const MAX_REFUSED_MS = 10 * MINUTE_MS;

/** What a CLI has reported when an execution is over. */
export interface Ended {
  readonly outcome: Outcome;
  /** As of the verdict. */
  readonly limitedModel: string | null;
  /** As of the translator. */
  readonly account: string | null;
}

/** The permission to start one execution. */
export interface Pass {
  /** Whether the use of the credential's limits matters. */
  readonly watchesUse: boolean;
  /** The CLI has reported a limit. */
  reported(limit: RateLimitEvent): void;
  /** The vendor accepted the login: the model has begun to answer. The job may run for an hour. */
  proven(): void;
  /**
   * The execution has ended, and its refusal closes the gate. Returns its outcome with the name of
   * the credential, and after a usage limit with the time when the next job may try. Only a refusal
   * waits for Redis: until the ledger has an outcome, a crash would cost it.
   * @throws AppError redis.unavailable after a refusal
   */
  settle(ended: Ended): Promise<Outcome>;
  /** The execution did not come to an outcome. */
  abandon(): Promise<void>;
}

export interface Credentials {
  /** Names of this node's credentials by provider. */
  names(): Readonly<Record<string, string>>;
  /**
   * Called right before a spawn.
   * @param isUnderWay whether the execution was let in before, by a server that is gone. Default:
   *   no
   * @throws AppError auth.required or execution.quota while the gate is closed
   */
  enter(
    execution: Pick<Claim, 'jobId' | 'executionId'>,
    provider: Pick<Provider, 'name' | 'login'>,
    model: string | null,
    isUnderWay?: boolean,
  ): Promise<Pass>;
  /** When a job of this provider succeeded last, since the server started (ms); null: none did. */
  succeededAt(provider: string): number | null;
  /** Those of all nodes, by provider. While Redis is away: as they were at the last call. */
  reports(): Promise<ReadonlyMap<string, readonly CredentialReport[]>>;
  /**
   * Opens the gates of a credential, or of all of a provider, by hand. Returns how many there were.
   * @param by who, for the audit; null, the default: the server itself
   * @throws AppError provider.not_found
   */
  open(name: string, by?: Actor | null): Promise<number>;
}

export function createCredentials({
  gates,
  providers,
  logins,
  refusedMs,
  logger,
}: {
  readonly gates: Gates;
  readonly providers: Pick<Providers, 'list'>;
  readonly logins: LoginNames;
  /** How long the first refused login closes the gate. */
  readonly refusedMs: number;
  readonly logger: Logger;
}): Credentials {
  /** What providers keep from jobs with a negative priority. */
  const reserves = new Map(
    providers.list().flatMap(({ provider: { name, reportsUse, limitedModel }, quotaReserve }) => {
      if (quotaReserve === null) return [];
      if (reportsUse === true) return [[name, { part: quotaReserve, limitedModel }] as const];
      logger.warn({ provider: name }, 'quotaReserve has no effect: the CLI does not report its use');
      return [];
    }),
  );
  const succeeded = new Map<string, number>();
  let lastReports: ReadonlyMap<string, readonly CredentialReport[]> = new Map();
  const lastModels = new Map<string, string>();

  function createPass(
    atStart: string,
    provider: string,
    execution: Pick<Claim, 'jobId' | 'executionId'>,
    entered: { readonly enteredAt: number; readonly tries: boolean; readonly namesModel: boolean },
  ): Pass {
    const reserve = reserves.get(provider);
    let { tries } = entered;
    let credential = atStart;
    let reserving: Promise<unknown> = Promise.resolve();

    async function answered(opens: boolean): Promise<void> {
      if (!tries) return;
      tries = false;
      try {
        await gates.answered(credential, execution, opens);
      } catch (error) {
        tries = true;
        throw error;
      }
    }

    async function refused(outcome: Outcome, reason: GateReason, word: string | null): Promise<Outcome> {
      const backoff = reason === 'quota' ? QUOTA_BACKOFF : { firstMs: refusedMs, maxMs: MAX_REFUSED_MS };
      const { executionId } = execution;
      const { enteredAt } = entered;
      const { error } = outcome;
      const model = entered.namesModel ? null : outcome.model; // a job's choice is not the default
      const reset = Date.parse(error?.resetsAt ?? '');
      const resetsAt = Number.isNaN(reset) ? null : reset;
      const until = await gates.refuse({
        ...{ credential, word, reason, executionId, enteredAt, resetsAt, model, backoff },
      });
      return reason === 'quota' && error !== null
        ? { ...outcome, error: { ...error, resetsAt: timeOf(until) } }
        : outcome;
    }

    return {
      watchesUse: reserve !== undefined,
      reported({ status, use, resetsAt, limit }) {
        if (reserve === undefined || status === 'rejected') return;
        if (status !== 'allowed_warning' && (use ?? 0) < 1 - reserve.part) return;
        const until = resetsAt === null ? Date.now() + QUOTA_BACKOFF.firstMs : Date.parse(resetsAt);
        const word = reserve.limitedModel?.(limit ?? '') ?? null;
        const reserved = gates.reserve(credential, word, until).catch(() => undefined); // it is reported again
        reserving = Promise.all([reserving, reserved]);
      },
      proven: () => void answered(true).catch(() => undefined), // `settle` comes, or the try expires
      abandon: () => answered(false).catch(() => undefined), // the try expires
      async settle({ outcome: ended, limitedModel, account }) {
        await reserving;
        const code = ended.error?.code;
        const isRefusal = code === 'execution.quota' || code === 'auth.required';
        credential = await logins.rename(provider, credential, account).catch((error: unknown) => {
          if (isRefusal) throw error;
          return credential;
        });
        const outcome = { ...ended, credential };
        if (code === 'execution.quota') return refused(outcome, 'quota', limitedModel);
        if (code === 'auth.required') return refused(outcome, 'refused', null);
        if (code === undefined) succeeded.set(provider, Date.now());
        await answered(code === undefined || code === 'execution.awaiting_approval').catch(() => undefined);
        const { model } = outcome;
        if (!entered.namesModel && code === undefined && model && lastModels.get(credential) !== model)
          await gates.ran(credential, model).then(
            () => lastModels.set(credential, model),
            () => undefined, // the next answer says it
          );
        return outcome;
      },
    };
  }

  return {
    names: logins.all,
    async enter(execution, { name, login }, model, isUnderWay = false) {
      const credential = logins.of(name);
      if (isUnderWay) {
        // It may be the one that tries the credential: the records know that.
        const entered = { enteredAt: Date.now(), tries: true, namesModel: model !== null };
        return createPass(credential, name, execution, entered);
      }
      const entered = await gates.enter(credential, model, execution.executionId);
      if (entered.kind === 'closed') throw refusal(name, credential, login, entered);
      return createPass(credential, name, execution, {
        enteredAt: entered.at,
        tries: entered.kind === 'trying',
        namesModel: model !== null,
      });
    },
    succeededAt: (provider) => succeeded.get(provider) ?? null,
    async reports() {
      try {
        const [closed, held, known] = await Promise.all([gates.closed(), gates.held(), gates.credentials()]);
        const isPaused = (provider: string): boolean =>
          held.some(({ gate }) => gate === 'queue' || gate === `provider:${provider}`);
        const entries = [...known].map(
          ([provider, found]) =>
            [provider, reportsOf([...found].sort(), closed, isPaused(provider))] as const,
        );
        lastReports = new Map(entries);
      } catch (error) {
        if (!isRedisTrouble(error)) throw error;
      }
      return lastReports;
    },
    async open(name, by = null) {
      const known = await gates.credentials();
      const one = [...known.values()].some((found) => found.has(name)) ? [name] : null;
      const found = one ?? known.get(name);
      if (found === undefined)
        throw new AppError(
          'provider.not_found',
          `there is no provider or credential ${JSON.stringify(name)}`,
        );
      const opened = await Promise.all([...found].map((credential) => gates.open(credential, by)));
      return opened.reduce((sum, count) => sum + count, 0);
    },
  };
}

const timeOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** A refused login is shown even while it is paused: a person has to log in. */
function statusOf(gate: ClosedGate | undefined, isPaused: boolean): CredentialReport['status'] {
  if (gate?.reason === 'refused') return 'refused';
  if (isPaused) return 'paused';
  return gate === undefined ? 'ok' : 'limited';
}

function reportsOf(
  credentials: readonly string[],
  closed: ReadonlyMap<string, ClosedGate>,
  isPaused: boolean,
): CredentialReport[] {
  return credentials.flatMap((credential) => {
    const ofModels = [...closed.keys()].filter((gate) => gate.startsWith(`${credential}|`)).sort();
    return [credential, ...ofModels].map((name): CredentialReport => {
      const gate = closed.get(name);
      const status = statusOf(gate, isPaused);
      return { name, status, limitedUntil: timeOf(gate?.until ?? null) };
    });
  });
}

function refusal(provider: string, credential: string, login: Login, gate: ClosedGate): AppError {
  const resetsAt = timeOf(gate.until);
  const next = resetsAt === null ? 'it is opened by hand' : `the next try is at ${resetsAt}`;
  if (gate.reason === 'quota') {
    const message = `the usage limit of ${credential} is reached; ${next}`;
    return new AppError('execution.quota', message, { resetsAt });
  }
  const ago = Math.max(0, Math.round((Date.now() - gate.since) / 1000));
  return new AppError('auth.required', `${provider} refused the login ${ago} s ago; ${next}; ${login.hint}`);
}
