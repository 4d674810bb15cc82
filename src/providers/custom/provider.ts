import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { CustomSettings, JobDefaults } from '../../protocol/provider-settings.ts';
import type { Unsupported } from '../built-in.ts';
import { PLAIN_WARM_START } from '../plain-warm-start.ts';
import type { Provider } from '../provider.ts';
import { checkCustomSettings } from './checked-settings.ts';
import { customCommand, isSafeValue, placeholdersOf } from './command.ts';
import { createCustomTranslator } from './translator.ts';

/** A custom command's settings; what jobs default to does not matter here. */
export type CustomProviderOptions = { readonly name: string } & Omit<CustomSettings, keyof JobDefaults>;

/**
 * A provider for any command the settings describe. It resumes sessions when its output tells their id and an
 * argument takes it.
 * @throws AppError config.invalid when the settings contradict themselves
 */
export function createCustomProvider(options: CustomProviderOptions): Provider {
  const { name, args, env, output, versionArgs, binary } = options;
  checkCustomSettings(name, options);
  const { known } = placeholdersOf(args);
  const tellsSession =
    typeof output === 'object' && 'ndjson' in output && output.ndjson.session !== undefined;
  /** Its output tells, while it runs, what it has used or what it cost. */
  const tellsUse =
    typeof output === 'object' &&
    'ndjson' in output &&
    (output.ndjson.costUsd !== undefined || output.ndjson.outputTokens !== undefined);
  const takes = {
    maxCostUsd: tellsUse,
    model: known.includes('model'),
    background: false,
    effort: known.includes('effort'),
    resume: tellsSession && known.includes('sessionId'),
  };
  return {
    name,
    capabilities: {
      permissionModes: ['default'],
      tools: false,
      outputSchema: false,
      maxTurns: false,
      appendSystemPrompt: false,
      ...takes,
    },
    login: { variables: [], files: [], statusArgs: null, hint: `see the documentation of ${name}` },
    reportsCost: typeof output === 'object' && 'ndjson' in output && output.ndjson.costUsd !== undefined,
    ...(options.warmStart ? { warmStart: PLAIN_WARM_START } : {}),
    streamCaps: tellsUse ? ['maxCostUsd'] : [],
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
  const asked: Record<string, boolean> = {
    model: request.model !== null && !(takes.model && isSafeValue(request.model)),
    effort: request.effort !== null && !(takes.effort && isSafeValue(request.effort)),
    sessionId: request.sessionId !== null && !takes.resume,
    permissionMode: request.permissionMode !== 'default',
    allowedTools: request.allowedTools.length > 0,
    disallowedTools: request.disallowedTools.length > 0,
    onPermissionDenied: request.onPermissionDenied !== 'report',
    appendSystemPrompt: request.appendSystemPrompt !== null,
    outputSchema: request.outputSchema !== null,
    maxTurns: request.maxTurns !== null,
    maxCostUsd: request.maxCostUsd !== null && !takes.maxCostUsd,
    background: request.background === 'wait',
    providerOptions: Object.keys(request.providerOptions).length > 0,
  };
  return Object.keys(asked)
    .filter((option) => asked[option])
    .map((option) => ({ option, reason: `${name} is a custom command without this option` }));
}
