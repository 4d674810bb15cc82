/**
 * Checks what a job may do, against the settings in force. It is checked when the job is created
 * and again when it starts, because the settings and the record may have changed.
 */

import { ADMIN_PRINCIPAL, RAW_PRINCIPAL } from '../auth/principal.ts';
import { covers } from '../auth/tool-patterns.ts';
import type { Settings } from '../config/schema.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import { createChecker } from '../protocol/checker.ts';
import type { Grant } from '../protocol/grant.ts';
import { MAX_PROMPT_BYTES, ResolvedPrompt } from '../protocol/prompt.ts';
import { refused, type Unsupported } from '../providers/built-in.ts';
import type { Provider } from '../providers/provider.ts';
import { type Pricing, unkeptCostCap } from '../usage/pricing.ts';
import { isInside, resolveWorkspace, type Workspace } from '../workspace.ts';

export interface PermitOptions {
  readonly settings: Pick<Settings, 'roots' | 'trustedRoots' | 'allowFullAccess' | 'maxTimeoutMs'>;
  readonly pricing: Pick<Pricing, 'knows'>;
  /** Resolves the working directory. Default: from disk, each time. */
  readonly workspaceOf?: ((cwd: string) => Promise<Workspace>) | undefined;
}

/** Who made a request. */
export interface Maker {
  /** Id of the principal. */
  readonly principal: string;
  /** All of them hold. */
  readonly grants: readonly Grant[];
}

/** A request as this server runs it. */
export interface Permitted {
  /** With the real path of its folder, and its times cut to the settings. */
  readonly request: ResolvedPrompt;
  readonly workspace: Workspace;
}

const resolvedPrompt = createChecker(ResolvedPrompt);

/**
 * Checks a request, which any Redis client may have written.
 * @throws AppError request.invalid, request.too_large
 */
export function checkRequest(request: unknown): asserts request is ResolvedPrompt {
  if (!resolvedPrompt.check(request)) throw notValid(resolvedPrompt.errors(request));
  checkText(request.prompt);
}

/**
 * Checks what a schema cannot express: the size in bytes, and that there is more than white space.
 * @throws AppError request.invalid, request.too_large
 */
export function checkText(prompt: string): void {
  if (Buffer.byteLength(prompt) > MAX_PROMPT_BYTES) {
    throw new AppError('request.too_large', `the prompt is larger than ${MAX_PROMPT_BYTES} bytes`);
  }
  if (prompt.trim() === '') {
    const message = 'must not be empty';
    throw new AppError('request.invalid', `prompt ${message}`, { problems: [{ path: '/prompt', message }] });
  }
}

/** Refuses to continue a session whose CLI does not show whether it has saved a prompt. */
function unkeptContinuation(
  { name, transcript }: Provider,
  { retryMode, autoContinue, continuePrompt }: ResolvedPrompt,
): readonly Unsupported[] {
  if (transcript !== undefined) return [];
  const reason = `${name} cannot continue a session after a failure`;
  return refused([
    ['retry/mode', retryMode === 'continue', reason],
    ['autoContinue', autoContinue === true, reason],
    ['continuePrompt', continuePrompt !== undefined, reason],
  ]);
}

/** Turns the errors of a schema into one error. */
export function notValid(
  errors: readonly { readonly instancePath: string; readonly message: string }[],
): AppError {
  const problems = errors.map(({ instancePath, message }) => ({ path: instancePath, message }));
  const [first] = problems;
  const what = first === undefined ? 'is not valid' : `${first.path.slice(1) || 'it'} ${first.message}`;
  return new AppError('request.invalid', `the request is not valid: ${what}`, { problems });
}

/**
 * Applies the settings and the grants of its maker to a checked request. Times are cut to the
 * settings. Any other option that cannot be honoured is refused.
 * @throws AppError permission_mode.denied, tools.denied, provider.denied, cwd.not_allowed,
 *   provider.unsupported_option
 */
export async function permit(
  asked: ResolvedPrompt,
  { principal, grants }: Maker,
  provider: Provider,
  { settings, pricing, workspaceOf }: PermitOptions,
): Promise<Permitted> {
  const workspace = await permitIn(asked, { principal, grants }, provider.name, { settings, workspaceOf });
  const request: ResolvedPrompt = {
    ...asked,
    cwd: workspace.cwd,
    timeoutMs: Math.min(asked.timeoutMs, settings.maxTimeoutMs),
    idleTimeoutMs: Math.min(asked.idleTimeoutMs, settings.maxTimeoutMs),
  };
  const unkept = [
    ...provider.unsupported(request),
    ...unkeptCostCap(provider, request, pricing),
    ...unkeptContinuation(provider, request),
  ];
  if (unkept.length > 0) throw unkeptError(provider.name, unkept);
  return { request, workspace };
}

/** The error for options that a provider cannot honour. */
export function unkeptError(provider: string, unkept: readonly Unsupported[]): AppError {
  const problems = unkept.map(({ option, reason }) => ({ path: `/${option}`, message: reason }));
  const what = unkept.map(({ option, reason }) => `${option} (${reason})`).join(', ');
  return new AppError('provider.unsupported_option', `${provider} cannot honour: ${what}`, { problems });
}

/**
 * Checks what a run may do, and where.
 * @throws AppError permission_mode.denied, tools.denied, provider.denied, cwd.not_allowed
 */
export async function permitIn(
  asked: Pick<ResolvedPrompt, 'permissionMode' | 'allowedTools' | 'cwd'>,
  { principal, grants }: Maker,
  provider: string,
  { settings, workspaceOf }: Omit<PermitOptions, 'pricing'>,
): Promise<Workspace> {
  if (asked.permissionMode === 'fullAccess' && !settings.allowFullAccess) {
    throw new AppError('permission_mode.denied', 'fullAccess needs BULLPEN_ALLOW_FULL_ACCESS on the server');
  }
  if (principal === RAW_PRINCIPAL.id && asked.allowedTools.length > 0) {
    throw new AppError('tools.denied', 'a raw request may not allow tools');
  }
  for (const grant of grants) checkGrant(grant, asked, provider);
  const workspace = await (workspaceOf?.(asked.cwd) ??
    resolveWorkspace(asked.cwd, settings, principal === ADMIN_PRINCIPAL.id));
  for (const { roots } of grants) await checkRoots(roots, workspace.cwd);
  return workspace;
}

/** @throws AppError provider.denied, permission_mode.denied, tools.denied */
function checkGrant(
  { providers, permissionModes, tools }: Grant,
  { permissionMode, allowedTools }: Pick<ResolvedPrompt, 'permissionMode' | 'allowedTools'>,
  provider: string,
): void {
  if (providers?.includes(provider) === false) {
    throw denied(
      'provider.denied',
      '/provider',
      `${provider} is not allowed here; allowed: ${providers.join(', ')}`,
    );
  }
  if (permissionModes?.includes(permissionMode) === false) {
    const message = `${permissionMode} is not allowed here; allowed: ${permissionModes.join(', ')}`;
    throw denied('permission_mode.denied', '/permissionMode', message);
  }
  if (tools === null) return;
  if (permissionMode === 'fullAccess') {
    const message = 'fullAccess is not allowed here, because it allows every tool';
    throw denied('permission_mode.denied', '/permissionMode', message);
  }
  const over = allowedTools.findIndex((tool) => !covers(tools, tool));
  if (over < 0) return;
  const message = `${allowedTools[over]} is not allowed here; allowed: ${tools.join(', ') || 'no tool'}`;
  throw denied('tools.denied', `/allowedTools/${over}`, message);
}

/** @throws AppError cwd.not_allowed */
async function checkRoots(roots: Grant['roots'], cwd: string): Promise<void> {
  if (roots === null || (await isInside(cwd, roots))) return;
  throw denied('cwd.not_allowed', '/cwd', `${cwd} is not allowed here; allowed: ${roots.join(', ')}`);
}

export const denied = (code: ErrorCode, path: string, message: string): AppError =>
  new AppError(code, message, { problems: [{ path, message }] });
