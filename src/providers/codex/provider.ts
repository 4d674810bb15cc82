import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import {
  type BuiltInOptions,
  isAnswer,
  isRefusal,
  permissionModesOf,
  refused,
  refusedProviderOptions,
  refuseMaxRetries,
  type Unsupported,
  unsupportedMode,
  unsupportedSchema,
} from '../built-in.ts';
import { CERTIFICATE_NAMES, PROXY_NAMES } from '../environment.ts';
import type { Capabilities, Login, Provider } from '../provider.ts';
import type { WarmStart } from '../warm-start.ts';
import { codexCommand } from './command.ts';
import { TRANSCRIPT } from './transcript.ts';
import { createCodexTranslator } from './translator.ts';
import { LOGIN_HINT } from './verdict.ts';

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
  approvals: false,
  steer: false,
  fork: false,
};

const LOGIN: Login = {
  variables: ['CODEX_API_KEY', 'CODEX_ACCESS_TOKEN'],
  files: [{ variable: 'CODEX_HOME', home: '.codex', name: 'auth.json' }],
  secrets: [{ variable: 'CODEX_HOME', home: '.codex', name: '.credentials.json' }],
  folders: [{ variable: 'CODEX_HOME', home: '.codex', name: '' }],
  statusArgs: ['login', 'status'],
  hint: LOGIN_HINT,
};

/** The server's variables that codex may see. https://developers.openai.com/codex */
const ENV_NAMES: readonly string[] = [
  'CODEX_API_KEY',
  'CODEX_ACCESS_TOKEN',
  'OPENAI_API_KEY',
  'OPENAI_ORGANIZATION',
  'OPENAI_PROJECT',
  'CODEX_HOME',
  'RUST_LOG',
  ...PROXY_NAMES,
  ...CERTIFICATE_NAMES,
  'CODEX_CA_CERTIFICATE',
];

/** codex boots, then reads its prompt from stdin to the end. It gives no sign when it is ready. */
const WARM_START: WarmStart = {
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
 * The provider for the codex CLI, as of 0.169.0. The CLI cannot limit its turns: the executor
 * does, from the stream.
 * @throws AppError config.invalid for `maxRetries`, which the CLI has no option for
 */
export function createCodexProvider(options: BuiltInOptions): Provider {
  const instead = 'set request_max_retries and stream_max_retries of a vendor of your own in its config.toml';
  refuseMaxRetries('codex', options, instead);
  const { permissionModes: modes } = CAPABILITIES;
  return {
    name: 'codex',
    capabilities: { ...CAPABILITIES, permissionModes: permissionModesOf(modes, options) },
    login: LOGIN,
    state: { variable: 'CODEX_HOME', home: '.codex', name: 'sessions' },
    transcript: TRANSCRIPT,
    reportsUse: true,
    warmStart: WARM_START,
    announcesBoot: true, // `thread.started`
    streamCaps: ['maxTurns'],
    envNames: ENV_NAMES,
    binaries: ['codex'],
    versionArgs: ['--version'],
    unsupported: (request) => [
      ...unsupportedMode('codex', request.permissionMode, modes, options),
      ...unsupportedSchema(request),
      ...unsupportedOptions(request),
    ],
    command: (request, context) => codexCommand(request, context, options),
    provesAsked: (event) => isAnswer(event) || isRefusal(event),
    translator: (request, { sessionTokens = null } = {}) => createCodexTranslator(request, sessionTokens),
  };
}

const NO_LISTS = 'codex has no lists of tools; its sandbox decides';

const unsupportedOptions = (request: ResolvedPrompt): readonly Unsupported[] => [
  ...refused([
    ['allowedTools', request.allowedTools.length > 0, NO_LISTS],
    ['disallowedTools', request.disallowedTools.length > 0, NO_LISTS],
    [
      'onPermissionDenied',
      request.onPermissionDenied !== 'report',
      'codex does not report which commands its sandbox refused',
    ],
    ['maxCostUsd', request.maxCostUsd !== null, 'codex does not report the cost of a run'],
    ['background', request.background === 'wait', 'codex ends with its answer'],
  ]),
  ...refusedProviderOptions('codex', request),
];
