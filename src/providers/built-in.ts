/**
 * What the built-in providers share: their options, the options they refuse, and how they pass a
 * prompt.
 */
import { AppError } from '../errors.ts';
import type { EventBody, EventKind } from '../protocol/event.ts';
import type { PermissionMode, ResolvedPrompt } from '../protocol/prompt.ts';
import type { BuiltInSettings } from '../protocol/provider-settings.ts';
import { schemaProblem } from './output-schema.ts';

/** What the host allows a CLI; decided once at start-up. */
export interface ProviderHost {
  readonly runningAsRoot: boolean;
  /**
   * Whether the operator says that this is a sandbox (IS_SANDBOX=1): root may then skip
   * permissions.
   */
  readonly sandboxMarker: boolean;
  /**
   * The program that calls the Messages API: absolute paths of Node and of
   * src/anthropic-runner/main.
   */
  readonly sdkRunner: { readonly node: string; readonly script: string };
}

/** A provider's own settings and its host. */
export type BuiltInOptions = Pick<BuiltInSettings, 'args' | 'modes' | 'maxRetries'> & ProviderHost;

/** The modes a provider can honour here: as root, fullAccess needs a sandbox. */
export const permissionModesOf = (
  modes: readonly PermissionMode[],
  { runningAsRoot, sandboxMarker }: ProviderHost,
): readonly PermissionMode[] =>
  modes.filter((mode) => mode !== 'fullAccess' || !runningAsRoot || sandboxMarker);

/** An option that cannot be honoured, with the reason. */
export interface Unsupported {
  readonly option: string;
  readonly reason: string;
}

/** The options of a list that a job asks for. */
export const refused = (
  options: readonly (readonly [option: string, isAsked: boolean, reason: string])[],
): readonly Unsupported[] =>
  options.filter(([, isAsked]) => isAsked).map(([option, , reason]) => ({ option, reason }));

/** All `providerOptions`, of a provider that has none. */
export const refusedProviderOptions = (
  provider: string,
  { providerOptions }: ResolvedPrompt,
): readonly Unsupported[] =>
  Object.keys(providerOptions).map((name) => ({
    option: `providerOptions.${name}`,
    reason: `${provider} has no provider options`,
  }));

/**
 * Refuses the setting `maxRetries` for a CLI that has no such option.
 * @throws AppError config.invalid
 */
export function refuseMaxRetries(provider: string, { maxRetries }: BuiltInOptions, instead: string): void {
  if (maxRetries === null) return;
  const message = `providers.${provider}.maxRetries: ${provider} has no such option; ${instead}`;
  throw new AppError('config.invalid', message);
}

/** `outputSchema`, when no CLI takes it. @param keywords as {@link schemaProblem} takes them */
export function unsupportedSchema(
  { outputSchema }: ResolvedPrompt,
  keywords: ReadonlySet<string> | null = null,
): readonly Unsupported[] {
  const reason = outputSchema && schemaProblem(outputSchema, keywords);
  return reason === null ? [] : [{ option: 'outputSchema', reason }];
}

/** `permissionMode`, when this provider does not have it here. */
export function unsupportedMode(
  provider: string,
  mode: PermissionMode,
  modes: readonly PermissionMode[],
  host: ProviderHost,
): readonly Unsupported[] {
  if (permissionModesOf(modes, host).includes(mode)) return [];
  const reason = modes.includes(mode)
    ? `${provider} may not have fullAccess as root outside a sandbox (IS_SANDBOX=1)`
    : `${provider} has only ${modes.join(', ')}`;
  return [{ option: 'permissionMode', reason }];
}

const ANSWERS: readonly EventKind[] = ['text.delta', 'text', 'reasoning', 'tool.started', 'tool.ended'];

/** Whether the model has begun to answer. Every CLI has saved the prompt by then. */
export const isAnswer = ({ kind }: EventBody): boolean => ANSWERS.includes(kind);

/**
 * Whether the vendor refuses the prompt for now. claude and codex have saved it by then
 * (observed).
 */
export const isRefusal = (event: EventBody): boolean =>
  event.kind === 'api_retry' ||
  (event.kind === 'execution.finished' &&
    ['execution.overloaded', 'execution.quota'].includes(event.outcome.error?.code ?? ''));

/**
 * A prompt that begins with `/` would run a command of the CLI. After a newline it is only text.
 */
export const asPlainText = (prompt: string): string => (prompt.startsWith('/') ? `\n${prompt}` : prompt);

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const isUuid = (id: string | null): id is string => id !== null && UUID.test(id);

/**
 * The id of the session to resume, fit to be an argument.
 * @throws AppError execution.invalid_request when the id is no UUID
 */
export function checkedSessionId(provider: string, id: string | null): string | null {
  if (id === null || isUuid(id)) return id;
  const message = `the session to resume has no valid ${provider} session id`;
  throw new AppError('execution.invalid_request', message);
}
