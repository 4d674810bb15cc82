import { AppError } from '../../errors.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { JobDefaults } from '../job-defaults.ts';
import type { Provider } from '../provider.ts';
import { fillArguments, placeholdersOf } from './command.ts';
import type { CustomSettings } from './settings.ts';
import { createCustomTranslator } from './translator.ts';

/** Values that can fill a placeholder: nothing that could be read as a flag. */
const SAFE_VALUE = /^[A-Za-z0-9][\w.:/@-]{0,127}$/;

/** A custom command's settings; what jobs default to does not matter here. */
export type CustomProviderOptions = { readonly name: string } & Omit<CustomSettings, keyof JobDefaults>;

/**
 * A provider for any command the settings describe. It knows nothing of sessions, tools or costs.
 * @throws AppError config.invalid when an argument holds an unknown placeholder
 */
export function createCustomProvider(options: CustomProviderOptions): Provider {
  const { name, args, stdin, env, output, versionArgs, binary } = options;
  const { known, unknown } = placeholdersOf(args);
  if (unknown.length > 0) {
    throw new AppError(
      'config.invalid',
      `providers.custom.${name}.args: there is no placeholder {{${unknown[0]}}}`,
    );
  }
  const takes = { model: known.includes('model'), effort: known.includes('effort') };
  return {
    name,
    capabilities: {
      permissionModes: ['default'],
      resume: false,
      tools: false,
      outputSchema: false,
      maxTurns: false,
      maxCostUsd: false,
      appendSystemPrompt: false,
      ...takes,
    },
    login: { variables: [], files: [], statusArgs: null, hint: `see the documentation of ${name}` },
    streamCaps: [],
    envNames: env,
    binaries: [binary],
    versionArgs,
    unsupported: (request) => unsupportedOptions(name, request, takes),
    command: (request) => ({
      args: fillArguments(args, request),
      stdin: stdin ? request.prompt : '',
      env: {},
    }),
    translator: () => createCustomTranslator(name, output),
  };
}

function unsupportedOptions(
  name: string,
  request: ResolvedPrompt,
  takes: { readonly model: boolean; readonly effort: boolean },
): { option: string; reason: string }[] {
  const asked: Record<string, boolean> = {
    model: request.model !== null && !(takes.model && SAFE_VALUE.test(request.model)),
    effort: request.effort !== null && !(takes.effort && SAFE_VALUE.test(request.effort)),
    sessionId: request.sessionId !== null,
    permissionMode: request.permissionMode !== 'default',
    allowedTools: request.allowedTools.length > 0,
    disallowedTools: request.disallowedTools.length > 0,
    onPermissionDenied: request.onPermissionDenied !== 'report',
    appendSystemPrompt: request.appendSystemPrompt !== null,
    outputSchema: request.outputSchema !== null,
    maxTurns: request.maxTurns !== null,
    maxCostUsd: request.maxCostUsd !== null,
    providerOptions: Object.keys(request.providerOptions).length > 0,
  };
  return Object.keys(asked)
    .filter((option) => asked[option])
    .map((option) => ({ option, reason: `${name} is a custom command without this option` }));
}
