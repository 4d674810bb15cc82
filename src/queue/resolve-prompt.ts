import { Compile } from 'typebox/compile';
import type { Principal } from '../auth/principal.ts';
import type { Settings } from '../config/schema.ts';
import { AppError } from '../errors.ts';
import { resolveWorkspace, type Workspace } from '../executor/workspace.ts';
import { type Limits, MAX_PROMPT_BYTES, PromptRequest, type ResolvedPrompt } from '../protocol/prompt.ts';
import type { Providers } from '../providers/registry.ts';
import { unkeptCostCap } from '../usage/cost-cap.ts';
import type { Pricing } from '../usage/pricing.ts';

const promptRequest = Compile(PromptRequest);

export interface ResolvePromptOptions {
  readonly settings: Pick<
    Settings,
    | 'provider'
    | 'model'
    | 'cwd'
    | 'roots'
    | 'trustedRoots'
    | 'allowFullAccess'
    | 'timeoutMs'
    | 'idleTimeoutMs'
    | 'maxTimeoutMs'
    | 'maxMemoryBytes'
    | 'maxCpuSeconds'
    | 'maxOpenFiles'
    | 'maxProcesses'
    | 'maxOutputBytes'
    | 'maxLineBytes'
  >;
  readonly providers: Providers;
  readonly pricing: Pick<Pricing, 'knows'>;
  /** Where a folder really is; default: looked up each time. */
  readonly workspaceOf?: (cwd: string) => Promise<Workspace>;
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
  checkShape(request);
  return resolveChecked(request, principal, options);
}

/** The same for a request whose shape and text have been checked. */
async function resolveChecked(
  request: PromptRequest,
  principal: Principal,
  { settings, providers, pricing, workspaceOf }: ResolvePromptOptions,
): Promise<ResolvedPrompt> {
  checkTime('timeoutMs', request.timeoutMs, settings.maxTimeoutMs);
  checkTime('idleTimeoutMs', request.idleTimeoutMs, settings.maxTimeoutMs);
  const { provider, defaults } = providers.get(request.provider ?? settings.provider);
  const permissionMode = request.permissionMode ?? defaults.mode;
  if (permissionMode === 'fullAccess' && !settings.allowFullAccess) {
    throw new AppError('permission_mode.denied', 'fullAccess needs BULLPEN_ALLOW_FULL_ACCESS on the server');
  }
  if (!principal.admin && (request.allowedTools?.length ?? 0) > 0) {
    throw new AppError('tools.denied', 'this caller may not allow tools');
  }
  const asked = request.cwd ?? settings.cwd;
  const { cwd } = await (workspaceOf?.(asked) ?? resolveWorkspace(asked, settings));
  const resolved: ResolvedPrompt = {
    prompt: request.prompt,
    provider: provider.name,
    model: request.model ?? defaults.model ?? (provider.capabilities.model ? settings.model : null),
    effort: request.effort ?? null,
    cwd,
    sessionId: request.sessionId ?? null,
    permissionMode,
    allowedTools: request.allowedTools ?? [],
    disallowedTools: request.disallowedTools ?? [],
    onPermissionDenied: request.onPermissionDenied ?? 'report',
    appendSystemPrompt: request.appendSystemPrompt ?? null,
    outputSchema: request.outputSchema ?? null,
    maxTurns: request.maxTurns ?? null,
    maxCostUsd: request.maxCostUsd ?? null,
    providerOptions: request.providerOptions ?? {},
    limits: limitsOf(request, defaults.limits, settings),
    timeoutMs: request.timeoutMs ?? Math.min(defaults.timeoutMs ?? settings.timeoutMs, settings.maxTimeoutMs),
    idleTimeoutMs:
      request.idleTimeoutMs ??
      Math.min(defaults.idleTimeoutMs ?? settings.idleTimeoutMs, settings.maxTimeoutMs),
    ttlMs: request.ttlMs ?? null,
    priority: request.priority ?? 0,
    delayMs: request.delayMs ?? 0,
    maxAttempts: request.retry?.maxAttempts ?? 1,
    concurrencyKey: request.concurrencyKey ?? null,
    tags: request.tags ?? [],
    metadata: request.metadata ?? {},
  };
  const refused = [...provider.unsupported(resolved), ...unkeptCostCap(provider, resolved, pricing)];
  if (refused.length > 0) {
    const problems = refused.map(({ option, reason }) => ({ path: `/${option}`, message: reason }));
    const names = refused.map(({ option }) => option).join(', ');
    throw new AppError('provider.unsupported_option', `${provider.name} cannot honour: ${names}`, {
      problems,
    });
  }
  return resolved;
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
    const known = seen.get(cwd) ?? resolveWorkspace(cwd, options.settings);
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

function checkText(prompt: string): void {
  if (prompt.trim() === '') throw invalid('/prompt', 'must not be empty');
  if (Buffer.byteLength(prompt) > MAX_PROMPT_BYTES) {
    throw new AppError('request.too_large', `the prompt is larger than ${MAX_PROMPT_BYTES} bytes`);
  }
}

/** HTTP has checked this; a raw request, and one made of two halves for a retry, come as they are. */
function checkShape(request: PromptRequest): void {
  if (promptRequest.Check(request)) return;
  const problems = promptRequest
    .Errors(request)
    .map(({ instancePath, message }) => ({ path: instancePath, message }));
  const [first] = problems;
  const what = first === undefined ? 'is not valid' : `${first.path.slice(1) || 'it'} ${first.message}`;
  throw new AppError('request.invalid', `the request is not valid: ${what}`, { problems });
}

function checkTime(name: string, value: number | undefined, max: number): void {
  if (value !== undefined && value > max)
    throw invalid(`/${name}`, `must be at most ${max} (BULLPEN_MAX_TIMEOUT_MS)`);
}

function invalid(path: string, message: string): AppError {
  return new AppError('request.invalid', `${path.slice(1)} ${message}`, { problems: [{ path, message }] });
}
