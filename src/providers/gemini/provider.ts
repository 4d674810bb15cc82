import { AppError } from '../../errors.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import {
  type BuiltInOptions,
  isAnswer,
  permissionModesOf,
  type Unsupported,
  unsupportedMode,
} from '../built-in.ts';
import type { Capabilities, Login, Provider } from '../provider.ts';
import { geminiCommand } from './command.ts';
import { GEMINI_ENV_NAMES } from './env-names.ts';
import { LOGIN_HINT } from './failure.ts';
import { isToolRule } from './tool-policy.ts';
import { createGeminiTranslator } from './translator.ts';

const CAPABILITIES: Capabilities = {
  permissionModes: ['default', 'plan', 'acceptEdits', 'fullAccess'],
  resume: true,
  tools: true,
  outputSchema: false,
  maxTurns: true,
  maxCostUsd: false,
  appendSystemPrompt: false,
  effort: false,
  model: true,
  background: false,
};

const LOGIN: Login = {
  variables: [
    'GEMINI_API_KEY',
    'GOOGLE_API_KEY',
    'GOOGLE_GENAI_USE_VERTEXAI',
    'GOOGLE_GENAI_USE_GCA',
    'GOOGLE_APPLICATION_CREDENTIALS',
  ],
  files: [{ variable: null, home: '.gemini', name: 'oauth_creds.json' }],
  statusArgs: null,
  hint: LOGIN_HINT,
};

/**
 * The provider for the gemini CLI, as of 0.61.0. It takes a cap of turns (`model.maxSessionTurns`) and a number of
 * tries (`general.maxAttempts`, 10 at most) from a settings file only, and from none this server could write for
 * one run: a system settings file counts only when root owns it and every folder above it. So the executor
 * keeps the cap, from the stream. The CLI's retries show on its stderr alone.
 *
 * @throws AppError config.invalid for `maxRetries`
 */
export function createGeminiProvider(options: BuiltInOptions): Provider {
  if (options.maxRetries !== null) {
    const where = 'set general.maxAttempts in ~/.gemini/settings.json';
    throw new AppError('config.invalid', `providers.gemini.maxRetries: gemini has no such option; ${where}`);
  }
  const { permissionModes: modes } = CAPABILITIES;
  return {
    name: 'gemini',
    capabilities: { ...CAPABILITIES, permissionModes: permissionModesOf(modes, options) },
    login: LOGIN,
    state: { variable: 'GEMINI_CLI_HOME', home: '', name: '.gemini/tmp' },
    announcesBoot: true, // `init`
    streamCaps: ['maxTurns'],
    envNames: GEMINI_ENV_NAMES,
    binaries: ['gemini'],
    versionArgs: ['--version'],
    unsupported: (request) => [
      ...unsupportedMode('gemini', request.permissionMode, modes, options),
      ...unsupportedValues(request),
    ],
    command: (request, context) => geminiCommand(request, context, options),
    // A prompt that the vendor turned away is not in the session (observed with gemini 0.61.0).
    provesAsked: isAnswer,
    translator: () => createGeminiTranslator(),
  };
}

function unsupportedValues(request: ResolvedPrompt): readonly Unsupported[] {
  const found: Unsupported[] = [];
  for (const option of ['allowedTools', 'disallowedTools'] as const) {
    const unknown = request[option].find((tool) => !isToolRule(tool));
    if (unknown === undefined) continue;
    const reason = `gemini cannot tell ${unknown}: it knows names, and run_shell_command(beginning of a command)`;
    found.push({ option, reason });
  }
  const missing: readonly (readonly [string, boolean, string])[] = [
    ['effort', request.effort !== null, 'gemini has no levels of effort'],
    ['maxCostUsd', request.maxCostUsd !== null, 'gemini does not tell what a run costs'],
    ['background', request.background === 'wait', 'gemini ends with its answer'],
    ['outputSchema', request.outputSchema !== null, 'gemini takes no schema for its answer'],
    [
      'appendSystemPrompt',
      request.appendSystemPrompt !== null,
      'gemini can only replace its whole system prompt, not add to it',
    ],
    [
      'onPermissionDenied',
      request.onPermissionDenied !== 'report',
      'gemini hides from its model what a mode denies, so that most denials never happen',
    ],
  ];
  for (const [option, asked, reason] of missing) if (asked) found.push({ option, reason });
  for (const name of Object.keys(request.providerOptions)) {
    found.push({ option: `providerOptions.${name}`, reason: 'gemini knows no options of its own here' });
  }
  return found;
}
