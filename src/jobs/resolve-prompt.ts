import { Compile } from 'typebox/compile';
import type { Principal } from '../auth/principal.ts';
import type { Settings } from '../config/schema.ts';
import { AppError } from '../errors.ts';
import { checkRequest, checkText, notValid, type PermitOptions, permit } from '../executor/permit.ts';
import { type Limits, PromptRequest, type ResolvedPrompt } from '../protocol/prompt.ts';
import type { Providers } from '../providers/registry.ts';
import { resolveWorkspace, type Workspace } from '../workspace.ts';

const promptRequest = Compile(PromptRequest);

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
    >;
  readonly providers: Providers;
}

/**
 * A caller's request with the settings' defaults applied and every option checked against what this caller,
 * this server and the provider allow. Nothing is ignored: what cannot be honoured is refused.
 * @throws AppError with the documented code; nothing was changed
 */
export async function resolvePrompt(
  request: PromptRequest,
  principal: Principal,
  options: ResolvePromptOptions,
): Promise<ResolvedPrompt> {
  checkText(request.prompt);
  // HTTP has checked this; a raw request, and one made of two halves for a retry, come as they are.
  if (!promptRequest.Check(request)) throw notValid(promptRequest.Errors(request));
  return resolveChecked(request, principal, options);
}

/** The same for a request whose shape and text have been checked. */
async function resolveChecked(
  request: PromptRequest,
  principal: Principal,
  options: ResolvePromptOptions,
): Promise<ResolvedPrompt> {
  const { settings, providers } = options;
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
    delayMs: request.delayMs ?? 0,
    maxAttempts: request.retry?.maxAttempts ?? 1,
    concurrencyKey: request.concurrencyKey ?? null,
    tags: request.tags ?? [],
    metadata: request.metadata ?? {},
  };
  checkRequest(resolved);
  return (await permit(resolved, principal, provider, options)).request;
}

/**
 * A resolver for the requests of one call, which have been checked: each folder is looked at once. Like
 * {@link resolvePrompt} otherwise.
 */
export function createCallResolver(
  principal: Principal,
  options: ResolvePromptOptions,
): (request: PromptRequest) => Promise<ResolvedPrompt> {
  const seen = new Map<string, Promise<Workspace>>();
  const workspaceOf = (cwd: string): Promise<Workspace> => {
    const known = seen.get(cwd) ?? resolveWorkspace(cwd, options.settings, principal.admin);
    seen.set(cwd, known);
    return known;
  };
  return (request) => resolveChecked(request, principal, { ...options, workspaceOf });
}

const MAXIMUM = {
  memoryBytes: 'maxMemoryBytes',
  cpuSeconds: 'maxCpuSeconds',
  openFiles: 'maxOpenFiles',
  processes: 'maxProcesses',
  outputBytes: 'maxOutputBytes',
  lineBytes: 'maxLineBytes',
} as const;

/** What the job asks, else what the settings say of its provider; never more than the server allows. */
function limitsOf(
  request: PromptRequest,
  defaults: Limits,
  settings: ResolvePromptOptions['settings'],
): Limits {
  // `as`: the keys of MAXIMUM are those of Limits.
  for (const name of Object.keys(MAXIMUM) as (keyof Limits)[]) {
    const max = settings[MAXIMUM[name]];
    if (max !== null && (request.limits?.[name] ?? 0) > max) {
      throw invalid(`/limits/${name}`, `must be at most ${max}`);
    }
  }
  return { ...defaults, ...request.limits };
}

function checkTime(name: string, value: number | undefined, max: number): void {
  if (value !== undefined && value > max)
    throw invalid(`/${name}`, `must be at most ${max} (BULLPEN_MAX_TIMEOUT_MS)`);
}

function invalid(path: string, message: string): AppError {
  return new AppError('request.invalid', `${path.slice(1)} ${message}`, { problems: [{ path, message }] });
}
