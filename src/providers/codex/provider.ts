import { AppError } from '../../errors.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import {
  type BuiltInOptions,
  isAnswer,
  isRefusal,
  permissionModesOf,
  type Unsupported,
  unsupportedMode,
  unsupportedSchema,
} from '../built-in.ts';
import type { Capabilities, Login, Provider, WarmStart } from '../provider.ts';
import { codexCommand } from './command.ts';
import { CODEX_ENV_NAMES } from './env-names.ts';
import { LOGIN_HINT } from './failure.ts';
import { createCodexTranslator } from './translator.ts';

const CAPABILITIES: Capabilities = {
  permissionModes: ['default', 'plan', 'acceptEdits', 'fullAccess'],
  resume: true,
  tools: true,
  outputSchema: true,
  maxTurns: true,
  maxCostUsd: false,
  appendSystemPrompt: true,
  effort: true,
  model: true,
  background: false,
};

const LOGIN: Login = {
  variables: ['CODEX_API_KEY', 'CODEX_ACCESS_TOKEN'],
  files: [{ variable: 'CODEX_HOME', home: '.codex', name: 'auth.json' }],
  statusArgs: ['login', 'status'],
  hint: LOGIN_HINT,
};

/** codex boots and then reads its prompt to the end of stdin; it does not say when it is ready. */
const CODEX_WARM_START: WarmStart = {
  isReady: () => false,
  reads: {
    workspace: ['.', 'AGENTS.md', 'AGENTS.override.md', '.git/HEAD', '.git/index', '.git/logs/HEAD'],
    home: [
      { variable: 'CODEX_HOME', home: '.codex', name: 'config.toml' },
      { variable: 'CODEX_HOME', home: '.codex', name: 'AGENTS.md' },
    ],
  },
  speaksFirst: true, // `thread.started`
  takesTurns: false,
};

/**
 * The provider for the codex CLI, as of 0.169.0. It has no cap of its turns: the executor keeps it, from the stream.
 * @throws AppError config.invalid for `maxRetries`, which the CLI does not let its built-in vendor have
 */
export function createCodexProvider(options: BuiltInOptions): Provider {
  if (options.maxRetries !== null) {
    const where = 'set request_max_retries and stream_max_retries of a vendor of your own in its config.toml';
    throw new AppError('config.invalid', `providers.codex.maxRetries: codex has no such option; ${where}`);
  }
  const { permissionModes: modes } = CAPABILITIES;
  return {
    name: 'codex',
    capabilities: { ...CAPABILITIES, permissionModes: permissionModesOf(modes, options) },
    login: LOGIN,
    state: { variable: 'CODEX_HOME', home: '.codex', name: 'sessions' },
    warmStart: CODEX_WARM_START,
    announcesBoot: true, // `thread.started`
    streamCaps: ['maxTurns'],
    envNames: CODEX_ENV_NAMES,
    binaries: ['codex'],
    versionArgs: ['--version'],
    unsupported: (request) => [
      ...unsupportedMode('codex', request.permissionMode, modes, options),
      ...unsupportedSchema(request),
      ...unsupportedValues(request),
    ],
    command: (request, context) => codexCommand(request, context, options),
    provesAsked: (event) => isAnswer(event) || isRefusal(event),
    translator: (request, { sessionTokens = null } = {}) => createCodexTranslator(request, sessionTokens),
  };
}

function unsupportedValues(request: ResolvedPrompt): readonly Unsupported[] {
  const found: Unsupported[] = [];
  for (const option of ['allowedTools', 'disallowedTools'] as const) {
    if (request[option].length > 0)
      found.push({ option, reason: 'codex has no lists of tools; its sandbox decides' });
  }
  if (request.onPermissionDenied !== 'report') {
    found.push({
      option: 'onPermissionDenied',
      reason: 'codex does not tell which commands its sandbox refused',
    });
  }
  if (request.maxCostUsd !== null) {
    found.push({ option: 'maxCostUsd', reason: 'codex does not tell what a run costs' });
  }
  if (request.background === 'wait') {
    found.push({ option: 'background', reason: 'codex ends with its answer' });
  }
  for (const name of Object.keys(request.providerOptions)) {
    found.push({ option: `providerOptions.${name}`, reason: 'codex knows no options of its own here' });
  }
  return found;
}
