import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import {
  type BuiltInOptions,
  refused,
  type Unsupported,
  unsupportedMode,
  unsupportedSchema,
} from '../built-in.ts';
import type { Capabilities, Login, Provider } from '../provider.ts';
import { PLAIN_WARM_START } from '../warm-start.ts';
import { anthropicCommand, readAnthropicOptions } from './command.ts';
import { createAnthropicTranslator } from './translator.ts';
import { LOGIN_HINT } from './verdict.ts';

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
  approvals: false,
  steer: false,
  fork: false,
  terminal: false,
};

const LOGIN: Login = {
  variables: ['ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN'],
  files: [],
  statusArgs: null,
  hint: LOGIN_HINT,
};

/**
 * The provider for the Messages API, by the vendor's SDK in a process of its own
 * (src/anthropic-runner): one question, one answer, without tools, files or sessions.
 */
export function createAnthropicProvider(options: BuiltInOptions): Provider {
  return {
    name: 'anthropic-sdk',
    capabilities: CAPABILITIES,
    login: LOGIN,
    warmStart: PLAIN_WARM_START,
    streamCaps: ['maxCostUsd'],
    envNames: [...LOGIN.variables, 'ANTHROPIC_BASE_URL'],
    binaries: [options.sdkRunner.node],
    versionArgs: [options.sdkRunner.script, '--version'],
    unsupported: (request) => [
      ...unsupportedMode('anthropic-sdk', request.permissionMode, CAPABILITIES.permissionModes, options),
      ...unsupportedSchema(request),
      ...unsupportedOptions(request),
    ],
    command: (request) => anthropicCommand(request, options),
    translator: (request) => createAnthropicTranslator(request),
  };
}

const ONE_CALL = 'anthropic-sdk calls the API once: no tools, sessions, levels of effort or background work';

function unsupportedOptions(request: ResolvedPrompt): readonly Unsupported[] {
  const read = readAnthropicOptions(request.providerOptions);
  return [
    ...('problems' in read ? read.problems : []),
    ...refused([
      ['sessionId', request.sessionId !== null, ONE_CALL],
      ['effort', request.effort !== null, ONE_CALL],
      ['allowedTools', request.allowedTools.length > 0, ONE_CALL],
      ['disallowedTools', request.disallowedTools.length > 0, ONE_CALL],
      ['onPermissionDenied', request.onPermissionDenied === 'ask', ONE_CALL],
      ['background', request.background === 'wait', ONE_CALL],
    ]),
  ];
}
