import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ADMIN_PRINCIPAL, ownerNamed } from '../auth/principal.ts';
import { AppError, messageOf } from '../errors.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { TokenCounts } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Command, Provider } from '../providers/provider.ts';
import type { Providers, RegisteredProvider } from '../providers/registry.ts';
import type { Claim } from '../records/ports.ts';
import type { Pricing } from '../usage/pricing.ts';
import { type CliProbe, withFolder } from './cli-probe.ts';
import type { PreparedExecution } from './execution.ts';
import { fallbackFor, isCliMissing, withoutFallback } from './fallback.ts';
import { checkRequest, type PermitOptions, permit } from './permit.ts';
import type { StateFolders } from './state-folder.ts';
import type { UntrustedEnvironment } from './untrusted-environment.ts';
import { shapeOf } from './warm/shape.ts';

export interface PrepareOptions {
  readonly nodeId: string;
  readonly providers: Providers;
  readonly probe: CliProbe;
  readonly stateFolders: StateFolders;
  readonly pricing: Pricing;
  /** By which every request is checked again. */
  readonly settings: PermitOptions['settings'];
  /** Holds one scratch folder per execution: its TMPDIR, so that nothing stays in a shared one. */
  readonly scratchDir: string;
  /** The environment for a provider's CLI: allow-listed names of the server's own, plus what the command sets. */
  environment(provider: string, set: Command['env']): Readonly<Record<string, string>>;
  /** The same for a folder that is not trusted. */
  readonly untrusted: UntrustedEnvironment;
  readonly maxLineBytes: number;
  readonly maxTextBytes: number;
  /** Whether a session's process is kept open for its next turn. */
  readonly keepsSessions: boolean;
  /** What is behind one of our sessions; null when it is not known. */
  findSession(sessionId: string): Promise<FoundSession | null>;
  /** Events of a job with seq > after, in order, at most `limit`. */
  readEvents(jobId: string, after: number, limit: number): Promise<readonly StoredEvent[]>;
}

/** A session as its CLI knows it. */
export interface FoundSession {
  readonly nativeSessionId: string;
  /** What it has used so far, as its CLI counts; null where no run of it has told. */
  readonly tokens: TokenCounts | null;
}

type Attempt = Pick<Claim, 'jobId' | 'executionId' | 'attempt' | 'principal' | 'sessionId'>;
/** Whose a job is counts when it is claimed: a process that waits does nothing. */
const NO_CLAIM: Attempt = {
  jobId: '',
  executionId: '',
  attempt: 1,
  principal: ADMIN_PRINCIPAL.id,
  sessionId: '',
};

/** An execution that may be spawned. */
export interface Prepared extends PreparedExecution {
  /** Why another provider than the job's runs it; null: its own does. */
  readonly fallbackReason: string | null;
}

/**
 * Everything that is decided before a spawn. Nothing that comes from Redis is trusted: the request is checked
 * again, against the settings in force now.
 * @throws AppError for whatever refuses the execution
 */
export async function prepare(claim: Claim, options: PrepareOptions): Promise<Prepared> {
  const request = checked(claim.request);
  const asked = options.providers.get(request.provider);
  try {
    return { ...(await prepareWith(asked, request, claim, options)), fallbackReason: null };
  } catch (error) {
    if (!isCliMissing(error)) throw error;
    return prepareFallback(claim, error, options);
  }
}

/**
 * How a request that is not claimed yet would be run, for a process to be started for it. Not for one that goes on with
 * a session: that waits for its turn.
 * @throws AppError for whatever would refuse it
 */
export async function prepareRequest(
  found: ResolvedPrompt,
  options: PrepareOptions,
): Promise<PreparedExecution> {
  const request = checked(found);
  return prepareWith(options.providers.get(request.provider), request, NO_CLAIM, options);
}

/** The request, which may come from Redis and from any hand. */
function checked(request: ResolvedPrompt): ResolvedPrompt {
  try {
    checkRequest(request);
    return request;
  } catch (error) {
    const why = `in the job record ${messageOf(error)}`;
    throw new AppError('execution.invalid_request', why, { cause: error });
  }
}

/**
 * The same with the fallback of the job's provider, whose CLI is `missing`.
 * @throws AppError `missing` when there is no fallback, or none that takes this job
 */
export async function prepareFallback(
  claim: Claim,
  missing: AppError,
  options: PrepareOptions,
): Promise<Prepared> {
  const asked = options.providers.get(claim.request.provider);
  const { registered, request } = fallbackFor(
    asked,
    claim.request,
    options.providers,
    missing,
    options.pricing,
  );
  try {
    const prepared = await prepareWith(registered, request, claim, options);
    return { ...prepared, sessionId: null, fallbackReason: messageOf(missing) };
  } catch (error) {
    if (!isCliMissing(error)) throw error;
    throw withoutFallback(missing, registered.provider.name, error.message);
  }
}

async function prepareWith(
  { provider, binary: configured }: RegisteredProvider,
  asked: ResolvedPrompt,
  claim: Attempt,
  options: PrepareOptions,
): Promise<PreparedExecution> {
  const { executionId } = claim;
  const { sessionId } = asked;
  // These looks need only the claim, so they run beside the check of the request. Its error comes first.
  const looks = Promise.all([
    options.probe.find(provider, configured),
    sessionId === null ? null : foundSession(sessionId, options),
    sessionId === null || claim.attempt < 2 ? null : earlierAttempt(provider, claim, options),
  ]);
  looks.catch(() => undefined); // awaited below, unless the check refuses the request
  const { request, workspace } = await permit(asked, ownerNamed(claim.principal), provider, options);
  const [cli, session, earlier] = await looks;
  const scratch = join(options.scratchDir, executionId);
  const promptId = uuidOf(claim.jobId);
  const command = provider.command(request, {
    nativeSessionId: session?.nativeSessionId ?? null,
    trustedWorkspace: workspace.trusted,
    scratchDir: scratch,
    promptId,
    ...(earlier === null ? {} : { earlierAttempt: earlier }),
  });
  const plain = withFolder(options.environment(provider.name, command.env), cli.extraFolder);
  const [env, unsaved] = await Promise.all([
    workspace.trusted ? plain : options.untrusted(workspace.cwd, plain),
    options.stateFolders.trouble(provider, plain),
  ]);
  const maxLineBytes = Math.min(request.limits.lineBytes ?? options.maxLineBytes, options.maxLineBytes);
  const { binary } = cli;
  const shape = shapeOf({ provider, cli, command, env, cwd: workspace.cwd }, maxLineBytes);
  const stays = options.keepsSessions && shape !== null && staysOpen(provider, request);
  return {
    executionId,
    marker: `${options.nodeId}/${executionId}`,
    provider,
    request,
    command,
    promptId,
    binary,
    version: options.probe.knownVersion(cli),
    env,
    cwd: workspace.cwd,
    scratch,
    maxLineBytes,
    maxTextBytes: options.maxTextBytes,
    shape,
    holdsStdin: stays || (earlier !== null && provider.warmStart?.takesTurns === true),
    staysOpen: stays,
    sessionId: request.sessionId ?? (unsaved === null ? claim.sessionId : null),
    unsaved,
    sessionTokens: session?.tokens ?? null,
  };
}

/** Events that are looked at together. */
const PAGE = 500;

/** What the events of this job's earlier attempts prove. When they cannot be read the prompt is asked again. */
async function earlierAttempt(
  provider: Provider,
  { jobId, attempt }: Attempt,
  options: PrepareOptions,
): Promise<'asked' | 'unknown'> {
  const { provesAsked } = provider;
  if (provesAsked === undefined) return 'unknown';
  for (let after = 0; ; ) {
    const events = await options.readEvents(jobId, after, PAGE).catch(() => []);
    if (events.some((event) => event.attempt < attempt && provesAsked(event))) return 'asked';
    const last = events.at(-1);
    if (last === undefined || last.attempt >= attempt) return 'unknown';
    after = last.seq;
  }
}

/** An id of ours in the form that CLIs take. */
function uuidOf(id: string): string {
  const hex = createHash('sha256').update(id).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}

/**
 * Only a job that goes on with a session says that there is a conversation. What the CLI counts over its whole process
 * (a cap of turns or of cost, one answer of a given form) is for a process with one prompt. One that waits for its
 * background work does so as by hand: with stdin closed.
 */
const staysOpen = ({ warmStart }: Provider, request: ResolvedPrompt): boolean =>
  warmStart?.takesTurns === true &&
  request.sessionId !== null &&
  request.background !== 'wait' &&
  request.maxTurns === null &&
  request.maxCostUsd === null &&
  request.outputSchema === null;

async function foundSession(sessionId: string, options: PrepareOptions): Promise<FoundSession> {
  const found = await options.findSession(sessionId);
  if (found === null) throw new AppError('session.not_found', `there is no session ${sessionId} to resume`);
  return found;
}
