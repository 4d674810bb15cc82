/** What runs a job whose CLI is missing. */
import { AppError, type ErrorCode } from '../errors.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Providers, RegisteredProvider } from '../providers/registry.ts';
import { type Pricing, unkeptCostCap } from '../usage/pricing.ts';

/** A job as another provider runs it. */
export interface Fallback {
  readonly registered: RegisteredProvider;
  readonly request: ResolvedPrompt;
}

/**
 * Fits a job to the fallback of its provider. No option is dropped, except a model that the
 * fallback does not accept or may not know: its default model is used then.
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
  // A default model of the settings is meant for one CLI. The caller did not ask for it.
  const isDefault = request.model !== null && request.model === asked.defaults.model;
  const isKnown = takesNamesOf(provider.name, asked.provider.name);
  const keepsModel = !isDefault && isKnown && !refused.some(({ option }) => option === 'model');
  const mapped = keepsModel ? moved : { ...moved, model: registered.defaults.model };
  const left = [...provider.unsupported(mapped), ...unkeptCostCap(provider, mapped, pricing)];
  if (left.length > 0) {
    const why = left.map(({ option, reason }) => `${option}: ${reason}`).join('; ');
    throw withoutFallback(missing, provider.name, why);
  }
  return { registered, request: mapped };
}

/** Whose names of models the built-in providers take. */
const MODEL_NAMES: Readonly<Partial<Record<string, string>>> = {
  claude: 'Anthropic',
  'anthropic-sdk': 'Anthropic',
  codex: 'OpenAI',
  gemini: 'Google',
  'cursor-agent': 'Cursor',
};

/** A command from the settings takes any name. */
const takesNamesOf = (fallback: string, asked: string): boolean =>
  MODEL_NAMES[fallback] === undefined || MODEL_NAMES[fallback] === MODEL_NAMES[asked];

/** Why a fallback cannot run a job that its own provider could. */
const OF_FALLBACK: readonly ErrorCode[] = ['execution.cli_missing', 'provider.denied'];

/** What a failed preparation of the fallback means for the job. */
export function fallbackError(error: unknown, missing: AppError, fallback: string): unknown {
  if (!(error instanceof AppError) || !OF_FALLBACK.includes(error.code)) return error;
  return withoutFallback(missing, fallback, error.message);
}

/** The first provider's error, with the reason why its fallback cannot run the job. */
const withoutFallback = (missing: AppError, name: string, why: string): AppError =>
  new AppError(missing.code, `${missing.message}; its fallback ${name} cannot run this job: ${why}`, {
    cause: missing,
  });
