/** What every built-in provider is made of. */
import type { EventBody, EventKind } from '../protocol/event.ts';
import type { PermissionMode, ResolvedPrompt } from '../protocol/prompt.ts';
import type { BuiltInSettings } from '../protocol/provider-settings.ts';
import { schemaProblem } from './output-schema.ts';
import type { CommandContext } from './provider.ts';

/** What the host allows a CLI; decided once at start-up. */
export interface ProviderHost {
  readonly runningAsRoot: boolean;
  /** Whether the operator says that this is a sandbox (IS_SANDBOX=1): root may then skip permissions. */
  readonly sandboxMarker: boolean;
  /** The program that asks the Messages API: absolute paths of Node and of src/anthropic-runner/main. */
  readonly sdkRunner: { readonly node: string; readonly script: string };
}

/** A provider's own settings and its host. */
export type BuiltInOptions = Pick<BuiltInSettings, 'args' | 'modes' | 'maxRetries'> & ProviderHost;

/** No CLI may skip all permissions as root, unless the operator says that this is a sandbox. */
export const mayHaveFullAccess = ({ runningAsRoot, sandboxMarker }: ProviderHost): boolean =>
  !runningAsRoot || sandboxMarker;

/** The modes a provider can honour here. */
export const permissionModesOf = (
  modes: readonly PermissionMode[],
  host: ProviderHost,
): readonly PermissionMode[] => modes.filter((mode) => mode !== 'fullAccess' || mayHaveFullAccess(host));

/** An option that cannot be honoured, with the reason. */
export interface Unsupported {
  readonly option: string;
  readonly reason: string;
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
    : `${provider} knows ${modes.join(', ')}`;
  return [{ option: 'permissionMode', reason }];
}

const ANSWERS: readonly EventKind[] = ['text.delta', 'text', 'reasoning', 'tool.started', 'tool.ended'];

/** Whether the model has begun to answer: by then a CLI has saved what it was asked. */
export const isAnswer = ({ kind }: EventBody): boolean => ANSWERS.includes(kind);

/** Whether the vendor turns the prompt away: claude and codex have saved it by then (observed). */
export const isRefusal = (event: EventBody): boolean =>
  event.kind === 'retry' ||
  (event.kind === 'execution.finished' &&
    ['execution.overloaded', 'execution.rate_limited'].includes(event.outcome.error?.code ?? ''));

/** What to ask for: the prompt, or only to go on where the session has it already. */
export const promptFor = (request: ResolvedPrompt, { earlierAttempt }: CommandContext): string =>
  earlierAttempt === 'asked' ? 'Continue from where you left off.' : request.prompt;
