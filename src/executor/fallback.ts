import { AppError } from '../errors.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Providers, RegisteredProvider } from '../providers/registry.ts';
import { unkeptCostCap } from '../usage/cost-cap.ts';
import type { Pricing } from '../usage/pricing.ts';

/** Whether this is what a fallback is for: the CLI is not there, or cannot be started. */
export const isCliMissing = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'execution.cli_missing';

/** A job as another provider takes it. */
export interface Fallback {
  readonly registered: RegisteredProvider;
  readonly request: ResolvedPrompt;
}

/**
 * The provider that runs this job because `asked` cannot. Nothing is dropped to make it fit, except a model it does
 * not take: then its own default counts.
 * @throws AppError `missing`, with the reason why there is no fallback for this job
 */
export function fallbackFor(
  asked: RegisteredProvider,
  request: ResolvedPrompt,
  providers: Providers,
  missing: AppError,
  pricing: Pick<Pricing, 'knows'>,
): Fallback {
  if (asked.fallback === null) throw missing;
  const registered = providers.get(asked.fallback);
  const { provider } = registered;
  if (request.sessionId !== null) {
    throw withoutFallback(missing, provider.name, `the session belongs to ${asked.provider.name}`);
  }
  const moved: ResolvedPrompt = { ...request, provider: provider.name };
  const refused = provider.unsupported(moved);
  // What the settings chose for one CLI is no wish of the caller's for another.
  const isDefault = request.model !== null && request.model === asked.defaults.model;
  const keepsModel = !isDefault && !refused.some(({ option }) => option === 'model');
  const mapped = keepsModel ? moved : { ...moved, model: registered.defaults.model };
  const left = [...provider.unsupported(mapped), ...unkeptCostCap(provider, mapped, pricing)];
  if (left.length > 0) {
    const why = left.map(({ option, reason }) => `${option}: ${reason}`).join('; ');
    throw withoutFallback(missing, provider.name, why);
  }
  return { registered, request: mapped };
}

/** The first provider's error, saying that its fallback could not help and why. */
export const withoutFallback = (missing: AppError, name: string, why: string): AppError =>
  new AppError(missing.code, `${missing.message}; its fallback ${name} cannot run this job: ${why}`, {
    cause: missing,
  });
