import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import { type BuiltInOptions, permissionModesOf, type Unsupported, unsupportedMode } from '../built-in.ts';
import type { Capabilities, Login, Provider } from '../provider.ts';
import { cursorCommand } from './command.ts';
import { CURSOR_ENV_NAMES } from './env-names.ts';
import { LOGIN_HINT } from './failure.ts';
import { createCursorTranslator } from './translator.ts';

const CAPABILITIES: Capabilities = {
  permissionModes: ['default', 'plan', 'acceptEdits', 'fullAccess'],
  resume: true,
  tools: false,
  outputSchema: false,
  maxTurns: true,
  maxCostUsd: false,
  appendSystemPrompt: false,
  effort: false,
  model: true,
  background: false,
};

const LOGIN: Login = {
  variables: ['CURSOR_API_KEY'],
  files: [],
  statusArgs: ['status'],
  hint: LOGIN_HINT,
};

/**
 * The provider for Cursor's CLI. Written from its documentation (September 2026) and from users' recordings, not
 * from runs of our own: the CLI needs an account. What was not seen is marked where it matters.
 */
export function createCursorProvider(options: BuiltInOptions): Provider {
  const { permissionModes: modes } = CAPABILITIES;
  return {
    name: 'cursor-agent',
    capabilities: { ...CAPABILITIES, permissionModes: permissionModesOf(modes, options) },
    login: LOGIN,
    streamCaps: ['maxTurns'],
    envNames: CURSOR_ENV_NAMES,
    binaries: ['cursor-agent', 'agent'],
    versionArgs: ['--version'],
    unsupported: (request) => [
      ...unsupportedMode('cursor-agent', request.permissionMode, modes, options),
      ...unsupportedValues(request),
    ],
    command: (request, context) => cursorCommand(request, context, options),
    translator: () => createCursorTranslator(),
  };
}

function unsupportedValues(request: ResolvedPrompt): readonly Unsupported[] {
  const asked: Record<string, { readonly is: boolean; readonly reason: string }> = {
    effort: { is: request.effort !== null, reason: 'its models have their effort in their name' },
    allowedTools: { is: request.allowedTools.length > 0, reason: 'its tools are listed in cli-config.json' },
    disallowedTools: {
      is: request.disallowedTools.length > 0,
      reason: 'its tools are listed in cli-config.json',
    },
    onPermissionDenied: {
      is: request.onPermissionDenied !== 'report',
      reason: 'it does not tell what it was not allowed to do',
    },
    appendSystemPrompt: {
      is: request.appendSystemPrompt !== null,
      reason: 'it reads AGENTS.md and rules only',
    },
    outputSchema: { is: request.outputSchema !== null, reason: 'it answers in text only' },
    background: { is: request.background === 'wait', reason: 'it ends with its answer' },
    maxCostUsd: { is: request.maxCostUsd !== null, reason: 'it does not tell what a run costs' },
  };
  const options = Object.keys(request.providerOptions).map((name) => ({
    option: `providerOptions.${name}`,
    reason: 'cursor-agent knows no options of its own here',
  }));
  return [
    ...Object.entries(asked).flatMap(([option, { is, reason }]) =>
      is ? [{ option, reason: `cursor-agent: ${reason}` }] : [],
    ),
    ...options,
  ];
}
