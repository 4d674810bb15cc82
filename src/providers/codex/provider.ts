import { AppError } from '../../errors.ts';
import type { EventBody } from '../../protocol/event.ts';
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
import { appServerCommand } from './app-server/command.ts';
import { createAppServerControl } from './app-server/control.ts';
import { HELLO, parseRpc } from './app-server/rpc.ts';
import { createAppServerTranslator } from './app-server/translator.ts';
import { codexCommand } from './command.ts';
import { createCodexInteractive } from './interactive.ts';
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
  terminal: true,
};

const APP_SERVER_CAPABILITIES = { maxCostUsd: true, approvals: true, steer: true, fork: true } as const;

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

const READS: WarmStart['reads'] = {
  workspace: ['.', 'AGENTS.md', 'AGENTS.override.md', '.git/HEAD', '.git/index', '.git/logs/HEAD'],
  home: [
    { variable: 'CODEX_HOME', home: '.codex', name: 'config.toml' },
    { variable: 'CODEX_HOME', home: '.codex', name: 'AGENTS.md' },
  ],
};

/** codex boots, then reads its prompt from stdin to the end. It gives no sign when it is ready. */
const EXEC_START: WarmStart = {
  isReady: () => false,
  reads: READS,
  speaksFirst: true, // `thread.started`
  takesTurns: false,
};

const APP_SERVER_START: WarmStart = {
  isReady: (line) => {
    const message = parseRpc(line);
    return message?.kind === 'answer' && message.id === HELLO;
  },
  reads: READS,
  speaksFirst: true, // the answer that names the thread
  takesTurns: true,
};

export interface CodexOptions extends BuiltInOptions {
  /**
   * `exec`: a process for each prompt. `app-server`: one that can be spoken with while it runs.
   * Left out: exec.
   */
  readonly transport?: 'exec' | 'app-server';
}

/**
 * The provider for the codex CLI, as of 0.169.0. The CLI cannot limit its turns: the executor
 * does, from the stream.
 * @throws AppError config.invalid for `maxRetries`, which the CLI has no option for, and for
 *   `modes` with app-server
 */
export function createCodexProvider(options: CodexOptions): Provider {
  const instead = 'set request_max_retries and stream_max_retries of a vendor of your own in its config.toml';
  refuseMaxRetries('codex', options, instead);
  const { permissionModes: modes } = CAPABILITIES;
  const { transport = 'exec' } = options;
  const shared = {
    name: 'codex',
    login: LOGIN,
    state: { variable: 'CODEX_HOME', home: '.codex', name: 'sessions' },
    reportsUse: true,
    announcesBoot: true, // `thread.started`, or the answer to the opening
    envNames: ENV_NAMES,
    binaries: ['codex'],
    versionArgs: ['--version'],
    provesAsked: (event: EventBody) => isAnswer(event) || isRefusal(event),
    interactive: createCodexInteractive(options, modes),
  } as const;
  const unsupported = (request: ResolvedPrompt): readonly Unsupported[] => [
    ...unsupportedMode('codex', request.permissionMode, modes, options),
    ...unsupportedSchema(request),
    ...unsupportedOptions(request, transport),
  ];
  const permissionModes = permissionModesOf(modes, options);
  if (transport === 'exec') {
    return {
      ...shared,
      capabilities: { ...CAPABILITIES, permissionModes },
      transcript: TRANSCRIPT,
      warmStart: EXEC_START,
      streamCaps: ['maxTurns'],
      unsupported,
      command: (request, context) => codexCommand(request, context, options),
      translator: (request, { sessionTokens = null } = {}) => createCodexTranslator(request, sessionTokens),
    };
  }
  refuseModes(options);
  const { limits: _, ...transcript } = TRANSCRIPT; // its own messages report them
  return {
    ...shared,
    capabilities: { ...CAPABILITIES, ...APP_SERVER_CAPABILITIES, permissionModes },
    transcript,
    warmStart: APP_SERVER_START,
    streamCaps: ['maxTurns', 'maxCostUsd'],
    unsupported,
    command: (request, context) => appServerCommand(request, context, options),
    translator: (request) => createAppServerTranslator(request),
    control: createAppServerControl,
  };
}

/** A thread keeps the permissions it was opened with: arguments of the process do not count. */
function refuseModes({ modes }: CodexOptions): void {
  if (Object.keys(modes).length === 0) return;
  const message = 'providers.codex.modes: not with transport app-server, which sets permissions by thread';
  throw new AppError('config.invalid', message);
}

const NO_LISTS = 'codex has no lists of tools; its sandbox decides';

const unsupportedOptions = (
  request: ResolvedPrompt,
  transport: 'exec' | 'app-server',
): readonly Unsupported[] => [
  ...refused([
    ['allowedTools', request.allowedTools.length > 0, NO_LISTS],
    ['disallowedTools', request.disallowedTools.length > 0, NO_LISTS],
    [
      'onPermissionDenied',
      request.onPermissionDenied === 'fail',
      'codex does not report which commands its sandbox refused',
    ],
    [
      'onPermissionDenied',
      request.onPermissionDenied === 'ask' && transport === 'exec',
      'codex can ask only with transport: app-server in its settings',
    ],
    [
      'maxCostUsd',
      request.maxCostUsd !== null && transport === 'exec',
      'codex reports what it uses only at the end of a run; with transport: app-server it can be kept',
    ],
    ['background', request.background === 'wait', 'codex ends with its answer'],
  ]),
  ...refusedProviderOptions('codex', request),
];
