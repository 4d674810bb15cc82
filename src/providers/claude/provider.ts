import { Type } from '#typebox';
import { createChecker } from '../../protocol/checker.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import {
  type BuiltInOptions,
  isAnswer,
  isRefusal,
  permissionModesOf,
  refused,
  type Unsupported,
  unsupportedMode,
  unsupportedSchema,
} from '../built-in.ts';
import { NODE_CERTIFICATE_NAMES, PROXY_NAMES } from '../environment.ts';
import type { Capabilities, Login, Provider, Transcript } from '../provider.ts';
import type { WarmStart } from '../warm-start.ts';
import { claudeCommand, HELLO_ID, LATER_TOOLS, readClaudeOptions } from './command.ts';
import { createClaudeControl } from './control.ts';
import { createClaudeInteractive } from './interactive.ts';
import { createClaudeTranslator } from './translator.ts';
import { LOGIN_HINT, limitedModel } from './verdict.ts';

const CAPABILITIES: Capabilities = {
  permissionModes: ['default', 'plan', 'acceptEdits', 'fullAccess'],
  resume: true,
  tools: true,
  outputSchema: true,
  maxTurns: true,
  maxCostUsd: true,
  appendSystemPrompt: true,
  effort: true,
  model: true,
  background: true,
  approvals: true,
  steer: true,
  fork: true,
  terminal: true,
};

const LOGIN: Login = {
  variables: [
    'ANTHROPIC_API_KEY',
    'ANTHROPIC_AUTH_TOKEN',
    'CLAUDE_CODE_OAUTH_TOKEN',
    'CLAUDE_CODE_USE_BEDROCK',
    'CLAUDE_CODE_USE_VERTEX',
  ],
  files: [{ variable: 'CLAUDE_CONFIG_DIR', home: '.claude', name: '.credentials.json' }],
  secrets: [{ variable: 'CLAUDE_CONFIG_DIR', home: '', name: '.claude.json' }],
  folders: [{ variable: 'CLAUDE_CONFIG_DIR', home: '.claude', name: '' }],
  statusArgs: null,
  hint: LOGIN_HINT,
};

/**
 * The server's variables that claude may see: its login, its API's address, cloud credentials,
 * proxies, certificates and its own switches. https://docs.claude.com/en/docs/claude-code/settings
 */
export const CLAUDE_ENV_NAMES: readonly string[] = [
  'ANTHROPIC_API_KEY',
  'ANTHROPIC_AUTH_TOKEN',
  'ANTHROPIC_BASE_URL',
  'ANTHROPIC_CUSTOM_HEADERS',
  'ANTHROPIC_MODEL',
  'ANTHROPIC_SMALL_FAST_MODEL',
  'ANTHROPIC_DEFAULT_OPUS_MODEL',
  'ANTHROPIC_DEFAULT_SONNET_MODEL',
  'ANTHROPIC_DEFAULT_HAIKU_MODEL',
  'CLAUDE_CODE_OAUTH_TOKEN',
  'CLAUDE_CONFIG_DIR',

  'CLAUDE_CODE_USE_BEDROCK',
  'CLAUDE_CODE_SKIP_BEDROCK_AUTH',
  'ANTHROPIC_BEDROCK_BASE_URL',
  'AWS_REGION',
  'AWS_DEFAULT_REGION',
  'AWS_PROFILE',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'AWS_BEARER_TOKEN_BEDROCK',
  'AWS_CONFIG_FILE',
  'AWS_SHARED_CREDENTIALS_FILE',
  'AWS_ROLE_ARN',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',

  'CLAUDE_CODE_USE_VERTEX',
  'CLAUDE_CODE_SKIP_VERTEX_AUTH',
  'ANTHROPIC_VERTEX_BASE_URL',
  'ANTHROPIC_VERTEX_PROJECT_ID',
  'CLOUD_ML_REGION',
  'GOOGLE_APPLICATION_CREDENTIALS',
  'GOOGLE_CLOUD_PROJECT',

  ...PROXY_NAMES,
  ...NODE_CERTIFICATE_NAMES,
  'CLAUDE_CODE_CLIENT_CERT',
  'CLAUDE_CODE_CLIENT_KEY',

  'CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC',
  'DISABLE_TELEMETRY',
  'DISABLE_ERROR_REPORTING',
  'DISABLE_AUTOUPDATER',
  'CLAUDE_CODE_MAX_RETRIES',
  'CLAUDE_CODE_MAX_OUTPUT_TOKENS',
  'API_TIMEOUT_MS',
];

/**
 * claude reads its instructions, the state of the repository and its settings while it boots and
 * never again (observed with 2.1.329). It does not notice a file that changes below the top
 * folder, and passes the state of the repository to the model as that of one moment.
 */
const WARM_START: WarmStart = {
  isReady: (line) => line.includes('"control_response"') && line.includes(`"${HELLO_ID}"`),
  reads: {
    workspace: [
      '.',
      'CLAUDE.md',
      'CLAUDE.local.md',
      '.mcp.json',
      '.claude',
      '.claude/CLAUDE.md',
      '.claude/settings.json',
      '.claude/settings.local.json',
      '.git/HEAD',
      '.git/index',
      '.git/logs/HEAD',
    ],
    home: [
      { variable: 'CLAUDE_CONFIG_DIR', home: '.claude', name: 'settings.json' },
      { variable: 'CLAUDE_CONFIG_DIR', home: '.claude', name: 'CLAUDE.md' },
    ],
  },
  speaksFirst: true, // `system/init`
  takesTurns: true,
};

const userMessage = createChecker(
  Type.Object({
    type: Type.Literal('user'),
    timestamp: Type.String(),
    message: Type.Object({ content: Type.String() }),
  }),
);

/** claude writes the prompt before it calls the model (observed with 2.1.329). */
const TRANSCRIPT: Transcript = {
  files: (id) => `*/${id}.jsonl`,
  said: (line) =>
    userMessage.check(line)
      ? { messages: [{ text: line.message.content, timestamp: line.timestamp }] }
      : null,
};

/** Keywords of `--json-schema`. The CLI refuses a schema with any other keyword. */
const SCHEMA_KEYWORDS: ReadonlySet<string> = new Set(
  [
    '$schema $id $ref $defs $comment $vocabulary definitions type nullable const enum',
    'multipleOf maximum minimum exclusiveMaximum exclusiveMinimum maxLength minLength pattern',
    'properties patternProperties additionalProperties propertyNames required dependencies',
    'maxProperties minProperties items additionalItems contains maxItems minItems uniqueItems',
    'allOf anyOf oneOf not if then else format title description default',
    'deprecated readOnly writeOnly examples contentMediaType contentEncoding contentSchema',
  ].flatMap((line) => line.split(' ')),
);

/** The provider for the claude CLI (Claude Code), as of 2.1.329. */
export function createClaudeProvider(options: BuiltInOptions): Provider {
  const { permissionModes: modes } = CAPABILITIES;
  const { args, modes: modeArgs, maxRetries, runningAsRoot, sandboxMarker } = options;
  const allowRootFullAccess = runningAsRoot && sandboxMarker;
  return {
    name: 'claude',
    capabilities: { ...CAPABILITIES, permissionModes: permissionModesOf(modes, options) },
    login: LOGIN,
    state: { variable: 'CLAUDE_CONFIG_DIR', home: '.claude', name: 'projects' },
    transcript: TRANSCRIPT,
    reportsUse: true,
    limitedModel,
    warmStart: WARM_START,
    announcesBoot: true, // `system/init`
    streamCaps: [],
    envNames: CLAUDE_ENV_NAMES,
    binaries: ['claude'],
    versionArgs: ['--version'],
    unsupported: (request) => [
      ...unsupportedMode('claude', request.permissionMode, modes, options),
      ...unsupportedOptions(request),
    ],
    command: (request, context) =>
      claudeCommand(request, context, { args, modes: modeArgs, maxRetries, allowRootFullAccess }),
    provesAsked: (event) => isAnswer(event) || isRefusal(event),
    translator: (request, run) => createClaudeTranslator(request, run),
    control: createClaudeControl,
    interactive: createClaudeInteractive({ ...options, allowRootFullAccess }, modes),
  };
}

function unsupportedOptions(request: ResolvedPrompt): readonly Unsupported[] {
  const read = readClaudeOptions(request.providerOptions);
  const later = request.allowedTools.filter((tool) => LATER_TOOLS.includes(tool.replace(/\(.*/, '')));
  const reason = `${later.join(', ')}: only for a job with background: wait`;
  return [
    ...('problems' in read ? read.problems : []),
    ...(later.length > 0 && request.background !== 'wait' ? [{ option: 'allowedTools', reason }] : []),
    ...unsupportedSchema(request, SCHEMA_KEYWORDS),
    ...refused([
      [
        'onPermissionDenied',
        request.onPermissionDenied === 'ask' && request.background === 'wait',
        'claude cannot ask while it waits for work after its answer (background: wait)',
      ],
    ]),
  ];
}
