/**
 * Gates keep jobs that could run from starting: a person has closed them, or a limit has. The
 * record of a job behind a gate stays `queued`. Every place that shows jobs uses `shownState`.
 */
import type { Job } from './job.ts';

/** The gates that are closed now. */
export interface ClosedGates {
  /** A person has paused everything. */
  readonly queue: boolean;
  readonly projects: readonly string[];
  readonly providers: readonly string[];
  /**
   * Projects, and `PROJECT|PRINCIPAL`, that have spent the amount of the day, and when the next day
   * begins (ms).
   */
  readonly budgets: Readonly<Record<string, number>>;
  /** The nodes that may run jobs, drained ones too. */
  readonly nodes: readonly NodeGates[];
}

export interface NodeGates {
  readonly id: string;
  /** It takes no more jobs. */
  readonly drained: boolean;
  /** The limited credentials of this node, by provider. */
  readonly limits: Readonly<Record<string, CredentialLimits>>;
}

export interface CredentialLimits {
  /** The model that it ran last: the model of jobs that name none. */
  readonly lastModel: string | null;
  /** When each gate opens (ms), by a word of the models that it concerns; '': all models. */
  readonly until: Readonly<Record<string, number>>;
  /** The same for jobs with a negative priority: the rest of a limit is not for them. */
  readonly reserved: Readonly<Record<string, number>>;
}

/** What the gates need to know of a job. */
export interface GatedJob extends Pick<Job, 'status' | 'waitReason' | 'scheduledFor'> {
  readonly project: string;
  readonly principal: string;
  readonly provider: string;
  readonly model: string | null;
  readonly priority: number;
  /** The only node that may run it. */
  readonly pin: string | null;
  /** It fails at a usage limit instead of waiting. */
  readonly failsAtLimit: boolean;
}

export type ShownState = Pick<Job, 'status' | 'waitReason' | 'scheduledFor'>;

/** The state of a job as callers see it. */
export function shownState(gates: ClosedGates | null, job: GatedJob): ShownState {
  const { status, waitReason, scheduledFor } = job;
  const own = { status, waitReason, scheduledFor };
  if (gates === null || status !== 'queued' || waitReason !== null) return own;
  if (gates.queue || gates.projects.includes(job.project) || gates.providers.includes(job.provider))
    return { status: 'waiting', waitReason: 'paused', scheduledFor: null };
  const budgets = [job.project, `${job.project}|${job.principal}`].map((name) => gates.budgets[name] ?? 0);
  const nextDay = Math.max(...budgets);
  if (nextDay > 0) return scheduled('budget', nextDay);
  const nodes = gates.nodes.filter(({ id }) => job.pin === null || job.pin === id);
  const open = nodes.filter(({ drained }) => !drained);
  if (open.length === 0 && nodes.length > 0)
    return { status: 'waiting', waitReason: 'node', scheduledFor: null };
  if (open.length === 0) return own;
  const opensAt = Math.min(...open.map((node) => limitedUntil(node, job)));
  if (opensAt === 0) return own;
  return scheduled('quota', opensAt);
}

const scheduled = (waitReason: 'quota' | 'budget', at: number): ShownState => ({
  status: 'scheduled',
  waitReason,
  scheduledFor: new Date(at).toISOString(),
});

/** When a limit lets this job start on a node (ms); 0: now. */
function limitedUntil({ limits }: NodeGates, job: GatedJob): number {
  const { provider, model, priority, failsAtLimit } = job;
  const limit = limits[provider];
  if (limit === undefined) return 0;
  const used = (model ?? limit.lastModel ?? '').toLowerCase();
  const gates = [failsAtLimit ? {} : limit.until, priority < 0 ? limit.reserved : {}].flatMap(
    Object.entries<number>,
  );
  const times = gates.map(([word, until]) => (used.includes(word) ? until : 0));
  return Math.max(0, ...times);
}
