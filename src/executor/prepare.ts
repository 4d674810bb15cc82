/** Everything that is decided before a spawn: permission, CLI, session, command and environment. */
import { join } from 'node:path';
import type { GrantedJob, JobRights } from '../auth/job-rights.ts';
import type { JobTokens } from '../auth/job-tokens.ts';
import { AppError, messageOf } from '../errors.ts';
import type { TokenCounts } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { ControlContext } from '../providers/control.ts';
import type { Command, Provider } from '../providers/provider.ts';
import type { Providers, RegisteredProvider } from '../providers/registry.ts';
import type { Claim, WaitingJob } from '../records/ports.ts';
import type { Pricing } from '../usage/pricing.ts';
import type { KnownApprovals } from './asks.ts';
import type { StateFolders } from './cli-probe.ts';
import { type CliProbe, withFolder } from './cli-probe.ts';
import type { ReadEvents } from './earlier.ts';
import type { ExecutionLimits } from './execute.ts';
import type { KnownSessions } from './known-sessions.ts';
import { checkRequest, type PermitOptions, permit } from './permit.ts';
import type { PrivatePaths } from './private-paths.ts';
import { type Attempt, type Background, type TurnOptions, turnOf, whatIsLeft } from './turn.ts';
import type { UntrustedEnvironment } from './untrusted-environment.ts';
import type { WarmSettings } from './warm/cli-starter.ts';
import { type ProcessShape, shapeOf } from './warm/process-shape.ts';

/** Everything that is decided before the spawn. */
export interface PreparedExecution {
  readonly executionId: string;
  readonly marker: string;
  readonly provider: Provider;
  readonly request: ResolvedPrompt;
  readonly command: Command;
  /** UUID of the message that carries the prompt. */
  readonly promptId: string;
  readonly binary: string;
  readonly version: string | null;
  /** Complete except for TMPDIR, which is the scratch folder of the process. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Absolute path. The folder is made when a process is started for this execution alone. */
  readonly scratch: string;
  /** A longer line of stdout is shortened or cut. */
  readonly maxLineBytes: number;
  /** A text in a shortened line keeps at least this, as far as there is room. */
  readonly maxTextBytes: number;
  /** An idle process of the same shape may run this. Null: only a process of its own may. */
  readonly shape: ProcessShape | null;
  /** Whether its process may stay open for the next turn of its session. */
  readonly staysOpen: boolean;
  /** Whether stdin is open until the turn is over, so that the CLI can be spoken with. */
  readonly holdsStdin: boolean;
  readonly controlContext: ControlContext;
  readonly approvals: KnownApprovals;
  /**
   * Bullpen's id of the conversation, should the CLI have one. Null where it cannot continue: for a
   * fallback, because a session belongs to the provider that the job names, and for a new session
   * that cannot be saved.
   */
  readonly sessionId: string | null;
  /** Why the CLI cannot save this conversation; null when it can, or when that is not known. */
  readonly unsaved: string | null;
  /** What the session had used before, as its CLI reported it; null for a new session. */
  readonly sessionTokens: TokenCounts | null;
}

export interface PrepareOptions extends TurnOptions {
  readonly nodeId: string;
  readonly providers: Providers;
  readonly probe: CliProbe;
  readonly stateFolders: StateFolders;
  readonly pricing: Pricing;
  /** Every request is checked against these again, and against the settings. */
  readonly rights: { of(claim: GrantedJob & Pick<Claim, 'jobId'>): ReturnType<JobRights['of']> };
  readonly settings: PermitOptions['settings'];
  /** Has one scratch folder per execution, its TMPDIR. */
  readonly scratchDir: string;
  /** Changes the environment for an untrusted folder. */
  readonly untrusted: UntrustedEnvironment;
  readonly privatePaths: PrivatePaths;
  readonly jobTokens: Pick<JobTokens, 'variables'>;
  readonly limits: ExecutionLimits;
  readonly warm: WarmSettings;
  readonly sessions: KnownSessions;
  readonly readEvents: ReadEvents;
  /** As `backgroundOf`. */
  background(claim: Attempt, request: ResolvedPrompt, provider: Provider): Promise<Background>;
}

/**
 * Prepares a job that is not claimed yet, so that its process can be started ahead. Not for a
 * request that continues a session.
 * @throws AppError for each reason to refuse it
 */
export async function prepareWaiting(job: WaitingJob, options: PrepareOptions): Promise<PreparedExecution> {
  const request = checkedRequest(job.request);
  const attempt = { ...job, executionId: '', attempt: 1, sessionId: '' };
  return prepareFor(options.providers.get(request.provider), request, attempt, options);
}

/**
 * A job was accepted here and may start soon. What its start asks outside the server (git, the
 * CLI's folder: 5 to 8 ms) is asked beside its way through the queue, and remembered for a moment.
 */
export function readAhead(
  { provider: name, cwd }: ResolvedPrompt,
  { providers, environment, untrusted, stateFolders }: PrepareOptions,
): void {
  const { provider } = providers.get(name);
  untrusted.readAhead(cwd);
  stateFolders.trouble(provider, environment(name, {})).catch(() => undefined); // asked again then
}

/**
 * The request of a record, which any Redis client may have written.
 * @throws AppError execution.invalid_request
 */
export function checkedRequest(request: ResolvedPrompt): ResolvedPrompt {
  try {
    checkRequest(request);
    return request;
  } catch (error) {
    const why = `in the job record ${messageOf(error)}`;
    throw new AppError('execution.invalid_request', why, { cause: error });
  }
}

/**
 * Prepares a request for one provider: its own, or a fallback.
 * @param asked checked already
 * @throws AppError for each reason to refuse it; execution.cli_missing when the CLI is not
 *   installed; redis.unavailable while it is not known what the job may do
 */
export async function prepareFor(
  { provider, binary: configured }: RegisteredProvider,
  asked: ResolvedPrompt,
  claim: Attempt,
  options: PrepareOptions,
): Promise<PreparedExecution> {
  const { executionId } = claim;
  const { limits, warm } = options;
  const maker = { principal: claim.principal, grants: options.rights.of(claim) };
  // These need only the claim, so they run beside the check of the request. An error of the check
  // comes first.
  const looks = Promise.all([
    options.probe.find(provider, configured),
    options.background(claim, asked, provider),
  ]);
  looks.catch(() => undefined); // awaited below, unless the check refuses the request
  const { request: whole, workspace } = await permit(asked, maker, provider, options);
  const [cli, background] = await looks;
  const left = { ...whole, ...whatIsLeft(whole, background.earlier) };
  const [turn, privatePaths] = await Promise.all([
    turnOf(left, { claim, provider, background, grants: maker.grants }, options),
    options.privatePaths(provider, workspace.cwd),
  ]);
  const { request, promptId } = turn;
  const scratch = join(options.scratchDir, executionId);
  const command = provider.command(request, {
    nativeSessionId: turn.session?.nativeSessionId ?? null,
    trustedWorkspace: workspace.trusted,
    scratchDir: scratch,
    promptId,
    privatePaths,
    fork: turn.fork,
    resumesCall: turn.resumesCall,
    sessionRules: turn.sessionRules,
    deadCalls: turn.deadCalls,
  });
  const plain = withFolder(options.environment(provider.name, command.env), cli.extraFolder);
  const [env, unsaved, ofJob] = await Promise.all([
    workspace.trusted ? plain : options.untrusted(workspace.cwd, plain),
    options.stateFolders.trouble(provider, plain),
    options.jobTokens.variables(claim),
  ]);
  const maxLineBytes = Math.min(request.limits.lineBytes ?? limits.maxLineBytes, limits.maxLineBytes);
  const { binary } = cli;
  const { resume: resumable } = provider.capabilities;
  const boot = { provider, cli, command, env, cwd: workspace.cwd };
  const shape = ofJob === null ? shapeOf(boot, maxLineBytes) : null; // no other process has the token
  const keepsSessions = warm.sessionIdleMs > 0 && warm.maxProcesses > 0;
  const stays = keepsSessions && shape !== null && staysOpen(provider, request);
  return {
    executionId,
    marker: `${options.nodeId}/${executionId}`,
    provider,
    request,
    command,
    promptId,
    binary,
    version: options.probe.knownVersion(cli),
    env: { ...env, ...ofJob },
    cwd: workspace.cwd,
    scratch,
    maxLineBytes,
    maxTextBytes: limits.maxResultBytes,
    shape,
    staysOpen: stays,
    // Its control has to answer for a call that is over.
    holdsStdin:
      stays ||
      (provider.control !== undefined && (request.background !== 'wait' || turn.deadCalls.length > 0)),
    controlContext: {
      ...{ promptId, known: turn.known, resumesCall: turn.resumesCall, sessionRules: turn.sessionRules },
    },
    approvals: turn.approvals,
    sessionId: request.sessionId ?? (resumable && unsaved === null ? claim.sessionId : null),
    unsaved,
    sessionTokens: turn.session?.tokens ?? null,
  };
}

/**
 * Whether the process may stay open for the next turn. Only a job that continues a session shows
 * that there is a conversation. Some options need a process of their own: caps of turns and cost
 * and an output schema count for the whole process, and waiting for background work needs a closed
 * stdin.
 */
const staysOpen = ({ warmStart }: Provider, request: ResolvedPrompt): boolean =>
  warmStart?.takesTurns === true &&
  request.sessionId !== null &&
  request.background !== 'wait' &&
  request.maxTurns === null &&
  request.maxCostUsd === null &&
  request.outputSchema === null;
