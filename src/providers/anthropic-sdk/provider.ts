import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import { type BuiltInOptions, type Unsupported, unsupportedMode, unsupportedSchema } from '../built-in.ts';
import { PLAIN_WARM_START } from '../plain-warm-start.ts';
import type { Capabilities, Login, Provider } from '../provider.ts';
import { anthropicCommand } from './command.ts';
import { LOGIN_HINT } from './failure.ts';
import { readAnthropicOptions } from './options.ts';
import { createAnthropicTranslator } from './translator.ts';

const CAPABILITIES: Capabilities = {
  permissionModes: ['default'],
  resume: false,
  tools: false,
  outputSchema: true,
  maxTurns: true, // there is never more than one
  maxCostUsd: true,
  appendSystemPrompt: true,
  effort: false,
  model: true,
  background: false,
};

const ENV_NAMES = ['ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN', 'ANTHROPIC_BASE_URL'];

const LOGIN: Login = {
  variables: ['ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN'],
  files: [],
  statusArgs: null,
  hint: LOGIN_HINT,
};

/**
 * The provider for the Messages API, by the vendor's SDK in a process of its own (src/anthropic-runner): one
 * question, one answer, without tools, files or sessions.
 */
export function createAnthropicProvider(options: BuiltInOptions): Provider {
  return {
    name: 'anthropic-sdk',
    capabilities: CAPABILITIES,
    login: LOGIN,
    warmStart: PLAIN_WARM_START,
    streamCaps: ['maxCostUsd'],
    envNames: ENV_NAMES,
    binaries: [options.sdkRunner.node],
    versionArgs: [options.sdkRunner.script, '--version'],
    unsupported: (request) => [
      ...unsupportedMode('anthropic-sdk', request.permissionMode, CAPABILITIES.permissionModes, options),
      ...unsupportedSchema(request),
      ...unsupportedValues(request),
    ],
    command: (request) => anthropicCommand(request, options),
    translator: (request) => createAnthropicTranslator(request),
  };
}

function unsupportedValues(request: ResolvedPrompt): readonly Unsupported[] {
  const read = readAnthropicOptions(request.providerOptions);
  const asked: Record<string, boolean> = {
    sessionId: request.sessionId !== null,
    effort: request.effort !== null,
    allowedTools: request.allowedTools.length > 0,
    disallowedTools: request.disallowedTools.length > 0,
    background: request.background === 'wait',
  };
  const reason = 'anthropic-sdk asks the API once: no tools, sessions, levels of effort or background work';
  return [
    ...('problems' in read ? read.problems : []),
    ...Object.keys(asked)
      .filter((option) => asked[option])
      .map((option) => ({ option, reason })),
  ];
}
