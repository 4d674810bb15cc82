import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Compile } from 'typebox/compile';
import { AppError, messageOf } from '../errors.ts';
import type { TokenCounts } from '../protocol/outcome.ts';
import { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Command } from '../providers/provider.ts';
import type { Providers, RegisteredProvider } from '../providers/registry.ts';
import type { Claim } from '../rpc/ports.ts';
import type { Pricing } from '../usage/pricing.ts';
import type { CliProbe } from './cli-probe.ts';
import type { PreparedExecution } from './execution.ts';
import { fallbackFor, isCliMissing, withoutFallback } from './fallback.ts';
import { resolveWorkspace, type WorkspaceSettings } from './workspace.ts';

const resolvedPrompt = Compile(ResolvedPrompt);

export interface PrepareOptions {
  readonly nodeId: string;
  readonly providers: Providers;
  readonly probe: CliProbe;
  readonly pricing: Pricing;
  readonly workspace: WorkspaceSettings;
  /** Holds one scratch folder per execution: its TMPDIR, so that nothing stays in a shared one. */
  readonly scratchDir: string;
  /** The environment for a provider's CLI: allow-listed names of the server's own, plus what the command sets. */
  environment(provider: string, set: Command['env']): Readonly<Record<string, string>>;
  /** What is behind one of our sessions; null when it is not known. */
  findSession(sessionId: string): Promise<FoundSession | null>;
}

/** A session as its CLI knows it. */
export interface FoundSession {
  readonly nativeSessionId: string;
  /** What it has used so far, as its CLI counts; null where no run of it has told. */
  readonly tokens: TokenCounts | null;
}

/** An execution that may be spawned. */
export interface Prepared extends PreparedExecution {
  /** Why another provider than the job's runs it; null: its own does. */
  readonly fallbackReason: string | null;
}

/**
 * Everything that is decided before a spawn. Nothing that comes from Redis is trusted: the request is checked
 * again, whoever wrote it.
 * @throws AppError for whatever refuses the execution
 */
export async function prepare(claim: Claim, options: PrepareOptions): Promise<Prepared> {
  const { request } = claim;
  if (!resolvedPrompt.Check(request)) {
    throw new AppError('execution.invalid_request', 'the job record holds a request that is not valid');
  }
  const asked = options.providers.get(request.provider);
  try {
    return { ...(await prepareWith(asked, request, claim, options)), fallbackReason: null };
  } catch (error) {
    if (!isCliMissing(error)) throw error;
    return prepareFallback(claim, error, options);
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
    return { ...prepared, fallbackReason: messageOf(missing) };
  } catch (error) {
    if (!isCliMissing(error)) throw error;
    throw withoutFallback(missing, registered.provider.name, error.message);
  }
}

async function prepareWith(
  { provider, binary: configured }: RegisteredProvider,
  request: ResolvedPrompt,
  claim: Claim,
  options: PrepareOptions,
): Promise<PreparedExecution> {
  const [workspace, cli, session] = await Promise.all([
    resolveWorkspace(request.cwd, options.workspace),
    options.probe.find(provider, configured),
    request.sessionId === null ? null : foundSession(request.sessionId, options),
  ]);
  const scratch = join(options.scratchDir, claim.executionId);
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  const command = provider.command(request, {
    nativeSessionId: session?.nativeSessionId ?? null,
    trustedWorkspace: workspace.trusted,
    scratchDir: scratch,
  });
  for (const [name, content] of Object.entries(command.files ?? {})) {
    await writeFile(join(scratch, name), content, { mode: 0o600 });
  }
  return {
    executionId: claim.executionId,
    marker: `${options.nodeId}/${claim.executionId}`,
    provider,
    request,
    command,
    binary: cli.binary,
    version: options.probe.knownVersion(cli.binary),
    env: options.environment(provider.name, { TMPDIR: scratch, ...command.env }),
    cwd: workspace.cwd,
    sessionId: request.sessionId ?? claim.executionId,
    sessionTokens: session?.tokens ?? null,
  };
}

async function foundSession(sessionId: string, options: PrepareOptions): Promise<FoundSession> {
  const found = await options.findSession(sessionId);
  if (found === null) throw new AppError('session.not_found', `there is no session ${sessionId} to resume`);
  return found;
}
