import { AppError, messageOf } from '../../errors.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { CustomSettings, JobDefaults } from '../../protocol/provider-settings.ts';
import { refused, type Unsupported } from '../built-in.ts';
import type { Provider } from '../provider.ts';
import { PLAIN_WARM_START } from '../warm-start.ts';
import { customCommand, isSafeValue, placeholdersOf } from './command.ts';
import { createCustomTranslator } from './translator.ts';

/** A custom command's settings, without the defaults of its jobs. */
export type CustomProviderOptions = { readonly name: string } & Omit<CustomSettings, keyof JobDefaults>;

/**
 * A provider for any command that the settings describe. It resumes sessions if its output reports
 * their id and an argument takes it.
 * @throws AppError config.invalid when the settings contradict each other
 */
export function createCustomProvider(options: CustomProviderOptions): Provider {
  const { name, args, env, output, versionArgs, binary } = options;
  checkSettings(name, options);
  const { known } = placeholdersOf(args);
  const pointers = typeof output === 'object' && 'ndjson' in output ? output.ndjson : null;
  /** Whether its output reports tokens or cost during the run. */
  const reportsUse =
    pointers !== null && (pointers.costUsd !== undefined || pointers.outputTokens !== undefined);
  const takes = {
    maxCostUsd: reportsUse,
    model: known.includes('model'),
    background: false,
    approvals: false,
    steer: false,
    fork: false,
    effort: known.includes('effort'),
    resume: pointers?.session !== undefined && known.includes('sessionId'),
  };
  return {
    name,
    capabilities: {
      permissionModes: ['default'],
      tools: false,
      outputSchema: false,
      maxTurns: false,
      appendSystemPrompt: false,
      terminal: false,
      ...takes,
    },
    login: { variables: [], files: [], statusArgs: null, hint: `see the documentation of ${name}` },
    reportsCost: pointers?.costUsd !== undefined,
    ...(options.warmStart ? { warmStart: PLAIN_WARM_START } : {}),
    streamCaps: reportsUse ? ['maxCostUsd'] : [],
    envNames: env,
    binaries: [binary],
    versionArgs,
    unsupported: (request) => unsupportedOptions(name, request, takes),
    command: (request, context) => customCommand(request, context, options),
    translator: ({ model }) => createCustomTranslator(name, model, options),
  };
}

function unsupportedOptions(
  name: string,
  request: ResolvedPrompt,
  takes: Readonly<Record<'model' | 'effort' | 'resume' | 'maxCostUsd', boolean>>,
): readonly Unsupported[] {
  const reason = `${name} does not take this option`;
  return refused([
    ['model', request.model !== null && !(takes.model && isSafeValue(request.model)), reason],
    ['effort', request.effort !== null && !(takes.effort && isSafeValue(request.effort)), reason],
    ['sessionId', request.sessionId !== null && !takes.resume, reason],
    ['permissionMode', request.permissionMode !== 'default', reason],
    ['allowedTools', request.allowedTools.length > 0, reason],
    ['disallowedTools', request.disallowedTools.length > 0, reason],
    ['onPermissionDenied', request.onPermissionDenied !== 'report', reason],
    ['appendSystemPrompt', request.appendSystemPrompt !== null, reason],
    ['outputSchema', request.outputSchema !== null, reason],
    ['maxTurns', request.maxTurns !== null, reason],
    ['maxCostUsd', request.maxCostUsd !== null && !takes.maxCostUsd, reason],
    ['background', request.background === 'wait', reason],
    ['providerOptions', Object.keys(request.providerOptions).length > 0, reason],
  ]);
}

/**
 * Checks what a schema cannot express.
 * @throws AppError config.invalid, naming the setting
 */
function checkSettings(name: string, settings: CustomProviderOptions): void {
  const { args, stdin, output, success } = settings;
  const refuse = (setting: string, why: string): never => {
    throw new AppError('config.invalid', `providers.custom.${name}.${setting}: ${why}`);
  };
  const { known, unknown } = placeholdersOf(args);
  if (unknown.length > 0) refuse('args', `there is no placeholder {{${unknown[0]}}}`);
  if (!stdin && !known.includes('promptFile')) {
    refuse('stdin', 'without it an argument must hold {{promptFile}}, or the command never gets the prompt');
  }
  if (settings.warmStart && (!stdin || known.includes('promptFile'))) {
    refuse('warmStart', 'the command gets its prompt in a file, which must exist when it starts');
  }
  for (const setting of ['pattern', 'failurePattern'] as const) {
    try {
      if (success[setting] !== null) new RegExp(success[setting]);
    } catch (error) {
      refuse(`success.${setting}`, messageOf(error));
    }
  }
  if (success.json !== null && output === 'text') {
    refuse('success.json', 'the output is text; only JSON has places to look at');
  }
}
