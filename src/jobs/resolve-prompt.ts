import { MAX_DEPTH } from '../auth/job-tokens.ts';
import type { Principal } from '../auth/principal.ts';
import type { Settings } from '../config/schema.ts';
import { AppError } from '../errors.ts';
import { checkRequest, checkText, notValid, type PermitOptions, permit } from '../executor/permit.ts';
import { refuseUnsupported } from '../executor/unsupported.ts';
import { createChecker } from '../protocol/checker.ts';
import {
  BatchPrompt,
  type Limits,
  MAX_DELAY_MS,
  type PromptRequest,
  type ResolvedPrompt,
} from '../protocol/prompt.ts';
import { instant } from '../protocol/schema.ts';
import type { Provider } from '../providers/provider.ts';
import type { Providers } from '../providers/registry.ts';
import { namedWorkspace, resolveWorkspace, type Workspace } from '../workspace.ts';

const batchPrompt = createChecker(BatchPrompt);

export interface ResolvePromptOptions extends PermitOptions {
  readonly settings: PermitOptions['settings'] &
    Pick<
      Settings,
      | 'provider'
      | 'model'
      | 'cwd'
      | 'timeoutMs'
      | 'idleTimeoutMs'
      | 'maxMemoryBytes'
      | 'maxCpuSeconds'
      | 'maxOpenFiles'
      | 'maxProcesses'
      | 'maxOutputBytes'
      | 'maxLineBytes'
    > &
    Partial<Pick<Settings, 'executor'>>;
  readonly providers: Providers;
}

/** Turns a request into a resolved prompt. @throws AppError with the documented code */
export type PromptResolver = (request: BatchPrompt) => Promise<ResolvedPrompt>;

/**
 * A resolver for the requests of one call. It applies the defaults of the settings, and checks
 * every option against what this caller, this server and the provider allow. It refuses what cannot
 * be honoured. It looks up each directory once.
 */
export function createPromptResolver(principal: Principal, options: ResolvePromptOptions): PromptResolver {
  const known = new Map<string, Promise<Workspace>>();
  const { settings } = options;
  const look = async (cwd: string): Promise<Workspace> =>
    settings.executor === 'http'
      ? namedWorkspace(cwd, settings, principal.admin)
      : resolveWorkspace(cwd, settings, principal.admin);
  const workspaceOf = (cwd: string): Promise<Workspace> => {
    const workspace = known.get(cwd) ?? look(cwd);
    known.set(cwd, workspace);
    return workspace;
  };
  return (request) => resolvePrompt(request, principal, options, workspaceOf);
}

async function resolvePrompt(
  request: BatchPrompt,
  principal: Principal,
  { settings, providers, pricing }: ResolvePromptOptions,
  workspaceOf: (cwd: string) => Promise<Workspace>,
): Promise<ResolvedPrompt> {
  if (principal.grant.depth > MAX_DEPTH) {
    throw new AppError('auth.forbidden', `jobs inside jobs go ${MAX_DEPTH} deep, and no deeper`);
  }
  checkText(request.prompt);
  // HTTP has checked its bodies. Raw requests, and retries merged from two halves, are checked
  // here.
  if (!batchPrompt.check(request)) throw notValid(batchPrompt.errors(request));
  checkTime('timeoutMs', request.timeoutMs, settings.maxTimeoutMs);
  checkTime('idleTimeoutMs', request.idleTimeoutMs, settings.maxTimeoutMs);
  const { provider, defaults } = providers.get(request.provider ?? settings.provider);
  const resolved: ResolvedPrompt = {
    prompt: request.prompt,
    provider: provider.name,
    model: request.model ?? defaults.model ?? (provider.capabilities.model ? settings.model : null),
    effort: request.effort ?? null,
    cwd: request.cwd ?? settings.cwd,
    sessionId: request.sessionId ?? null,
    permissionMode: request.permissionMode ?? defaults.mode,
    allowedTools: request.allowedTools ?? [],
    disallowedTools: request.disallowedTools ?? [],
    onPermissionDenied: request.onPermissionDenied ?? 'report',
    ...(request.background === undefined ? {} : { background: request.background }),
    appendSystemPrompt: request.appendSystemPrompt ?? null,
    outputSchema: request.outputSchema ?? null,
    maxTurns: request.maxTurns ?? null,
    maxCostUsd: request.maxCostUsd ?? null,
    providerOptions: request.providerOptions ?? {},
    limits: limitsOf(request, defaults.limits, settings),
    timeoutMs: request.timeoutMs ?? defaults.timeoutMs ?? settings.timeoutMs,
    idleTimeoutMs: request.idleTimeoutMs ?? defaults.idleTimeoutMs ?? settings.idleTimeoutMs,
    ttlMs: request.ttlMs ?? null,
    priority: request.priority ?? 0,
    delayMs: delayOf(request),
    ...(request.runAt === undefined ? {} : { runAt: request.runAt }),
    maxAttempts: request.retry?.maxAttempts ?? 1,
    ...(request.onQuota === undefined ? {} : { onQuota: request.onQuota }),
    ...(request.quotaTimeoutMs === undefined ? {} : { quotaTimeoutMs: request.quotaTimeoutMs }),
    ...(request.approvalTimeoutMs === undefined ? {} : { approvalTimeoutMs: request.approvalTimeoutMs }),
    ...retryModeOf(request, provider),
    ...(request.continuePrompt === undefined ? {} : { continuePrompt: request.continuePrompt }),
    ...(request.autoContinue === undefined ? {} : { autoContinue: request.autoContinue }),
    concurrencyKey: request.concurrencyKey ?? null,
    tags: request.tags ?? [],
    metadata: request.metadata ?? {},
    ...(request.customId === undefined ? {} : { customId: request.customId }),
  };
  checkRequest(resolved);
  if (settings.executor === 'http') refuseUnsupported(resolved);
  const maker = { principal: principal.id, grants: [principal.grant] };
  return (await permit(resolved, maker, provider, { settings, pricing, workspaceOf })).request;
}

/** Milliseconds until the job may start. @throws AppError request.invalid */
function delayOf({ delayMs, runAt }: PromptRequest): number {
  if (runAt === undefined) return delayMs ?? 0;
  if (delayMs !== undefined) throw invalid('/runAt', 'must not be given together with delayMs');
  return Math.max(0, startTime(runAt) - Date.now());
}

/**
 * A `runAt` in milliseconds since the epoch.
 * @throws AppError request.invalid when it is further away than a delay may be
 */
export function startTime(runAt: string): number {
  const time = instant('runAt', runAt);
  if (time <= Date.now() + MAX_DELAY_MS) return time;
  throw invalid('/runAt', `must be at most ${MAX_DELAY_MS / 86_400_000} days from now`);
}

/** A provider that cannot continue a session begins from the start. Left out: it continues. */
function retryModeOf({ retry }: PromptRequest, { transcript }: Provider): Pick<ResolvedPrompt, 'retryMode'> {
  const mode = retry?.mode ?? (transcript === undefined ? 'restart' : undefined);
  return mode === undefined ? {} : { retryMode: mode };
}

/** The setting that bounds each limit. */
const MAXIMUM = {
  memoryBytes: 'maxMemoryBytes',
  cpuSeconds: 'maxCpuSeconds',
  openFiles: 'maxOpenFiles',
  processes: 'maxProcesses',
  outputBytes: 'maxOutputBytes',
  lineBytes: 'maxLineBytes',
} as const;

/**
 * The job's limits, else the provider's defaults, which are cut to the server's maximum.
 * @throws AppError when a limit of the request is over it
 */
function limitsOf(
  request: PromptRequest,
  defaults: Limits,
  settings: ResolvePromptOptions['settings'],
): Limits {
  const limits: Limits = { ...defaults, ...request.limits };
  // `as`: the keys of MAXIMUM are those of Limits.
  for (const name of Object.keys(MAXIMUM) as (keyof Limits)[]) {
    const [max, limit] = [settings[MAXIMUM[name]], limits[name]];
    if (max === null || limit === undefined || limit <= max) continue;
    if (request.limits?.[name] !== undefined) throw invalid(`/limits/${name}`, `must be at most ${max}`);
    limits[name] = max;
  }
  return limits;
}

function checkTime(name: string, value: number | undefined, max: number): void {
  if (value !== undefined && value > max)
    throw invalid(`/${name}`, `must be at most ${max} (BULLPEN_MAX_TIMEOUT_MS)`);
}

function invalid(path: string, message: string): AppError {
  return new AppError('request.invalid', `${path.slice(1)} ${message}`, { problems: [{ path, message }] });
}
