import { type Static, Type } from '#typebox';
import { createChecker } from '../../protocol/checker.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import {
  type BuiltInOptions,
  isAnswer,
  permissionModesOf,
  refused,
  refusedProviderOptions,
  refuseMaxRetries,
  type Unsupported,
  unsupportedMode,
} from '../built-in.ts';
import { NODE_CERTIFICATE_NAMES, PROXY_NAMES } from '../environment.ts';
import type { Capabilities, Login, Provider, Transcript } from '../provider.ts';
import { geminiCommand, isToolRule } from './command.ts';
import { createGeminiInteractive } from './interactive.ts';
import { createGeminiTranslator } from './translator.ts';
import { LOGIN_HINT } from './verdict.ts';

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
  approvals: false,
  steer: false,
  fork: false,
  terminal: true,
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
  secrets: ['.env', 'gemini-credentials.json', 'google_accounts.json', 'mcp-oauth-tokens.json'].map(
    (name) => ({
      ...{ variable: 'GEMINI_CLI_HOME', home: '' },
      name: `.gemini/${name}`,
    }),
  ),
  folders: [{ variable: 'GEMINI_CLI_HOME', home: '', name: '.gemini' }],
  statusArgs: null,
  hint: LOGIN_HINT,
};

/**
 * The server's variables that gemini may see.
 * https://geminicli.com/docs/reference/configuration/#environment-variables
 */
const ENV_NAMES: readonly string[] = [
  'GEMINI_API_KEY',
  'GOOGLE_API_KEY',
  'GOOGLE_GEMINI_BASE_URL',
  'GEMINI_MODEL',
  'GEMINI_CLI_HOME',
  'GEMINI_CLI_SYSTEM_SETTINGS_PATH',
  'GEMINI_CLI_SYSTEM_DEFAULTS_PATH',

  'GOOGLE_GENAI_USE_VERTEXAI',
  'GOOGLE_GENAI_USE_GCA',
  'GOOGLE_VERTEX_BASE_URL',
  'GOOGLE_APPLICATION_CREDENTIALS',
  'GOOGLE_CLOUD_PROJECT',
  'GOOGLE_CLOUD_PROJECT_ID',
  'GOOGLE_CLOUD_LOCATION',

  ...PROXY_NAMES,
  ...NODE_CERTIFICATE_NAMES,
];

const userMessage = Type.Object({
  type: Type.Literal('user'),
  timestamp: Type.String(),
  content: Type.Array(Type.Object({ text: Type.Optional(Type.String()) })),
});
const oneMessage = createChecker(userMessage);
const allMessages = createChecker(
  Type.Object({ $set: Type.Object({ messages: Type.Array(Type.Unknown()) }) }),
);

const said = ({ content, timestamp }: Static<typeof userMessage>) => ({
  text: content.map(({ text = '' }) => text).join('\n'),
  timestamp,
});

/**
 * gemini writes the prompt before it calls the model, and takes it back when the vendor refuses it
 * (observed with 0.61.0).
 */
const TRANSCRIPT: Transcript = {
  files: (id) => `*/chats/session-*-${id.slice(0, 8)}.jsonl`,
  said(line) {
    if (oneMessage.check(line)) return { messages: [said(line)] };
    if (!allMessages.check(line)) return null;
    return { replaces: true, messages: line.$set.messages.filter((one) => oneMessage.check(one)).map(said) };
  },
};

/**
 * The provider for the gemini CLI, as of 0.61.0.
 *
 * The CLI takes a limit of turns (`model.maxSessionTurns`) and of tries (`general.maxAttempts`, at
 * most 10) from a settings file only, and from none that this server could write for one run: a
 * system settings file counts only if root owns it and every folder above it. So the executor
 * limits the turns, from the stream. The CLI reports its retries on stderr only.
 *
 * @throws AppError config.invalid for `maxRetries`
 */
export function createGeminiProvider(options: BuiltInOptions): Provider {
  refuseMaxRetries('gemini', options, 'set general.maxAttempts in ~/.gemini/settings.json');
  const { permissionModes: modes } = CAPABILITIES;
  return {
    name: 'gemini',
    capabilities: { ...CAPABILITIES, permissionModes: permissionModesOf(modes, options) },
    login: LOGIN,
    state: { variable: 'GEMINI_CLI_HOME', home: '', name: '.gemini/tmp' },
    transcript: TRANSCRIPT,
    announcesBoot: true, // `init`
    streamCaps: ['maxTurns'],
    envNames: ENV_NAMES,
    binaries: ['gemini'],
    versionArgs: ['--version'],
    unsupported: (request) => [
      ...unsupportedMode('gemini', request.permissionMode, modes, options),
      ...unsupportedOptions(request),
    ],
    command: (request, context) => geminiCommand(request, context, options),
    // A prompt that the vendor refused is not in the session (observed with gemini 0.61.0).
    provesAsked: isAnswer,
    translator: () => createGeminiTranslator(),
    interactive: createGeminiInteractive(options, modes),
  };
}

const unsupportedOptions = (request: ResolvedPrompt): readonly Unsupported[] => [
  ...(['allowedTools', 'disallowedTools'] as const).flatMap((option) => {
    const unknown = request[option].find((tool) => !isToolRule(tool));
    if (unknown === undefined) return [];
    const rules = 'it takes names of tools, and run_shell_command(beginning of a command)';
    return [{ option, reason: `gemini has no rule for ${unknown}: ${rules}` }];
  }),
  ...refused([
    ['effort', request.effort !== null, 'gemini has no levels of effort'],
    ['maxCostUsd', request.maxCostUsd !== null, 'gemini does not report the cost of a run'],
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
  ]),
  ...refusedProviderOptions('gemini', request),
];
