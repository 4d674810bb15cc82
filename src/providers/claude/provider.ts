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
import type { Capabilities, Login, Provider } from '../provider.ts';
import { LATER_TOOLS } from './background.ts';
import { claudeCommand } from './command.ts';
import { CLAUDE_ENV_NAMES } from './env-names.ts';
import { LOGIN_HINT } from './failure.ts';
import { readClaudeOptions } from './options.ts';
import { createClaudeTranslator } from './translator.ts';
import { CLAUDE_WARM_START } from './warm-start.ts';

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
};

const CLAUDE_LOGIN: Login = {
  variables: [
    'ANTHROPIC_API_KEY',
    'ANTHROPIC_AUTH_TOKEN',
    'CLAUDE_CODE_OAUTH_TOKEN',
    'CLAUDE_CODE_USE_BEDROCK',
    'CLAUDE_CODE_USE_VERTEX',
  ],
  files: [{ variable: 'CLAUDE_CONFIG_DIR', home: '.claude', name: '.credentials.json' }],
  statusArgs: null,
  hint: LOGIN_HINT,
};

/** What `--json-schema` takes; the CLI refuses a schema with any other keyword. */
const SCHEMA_KEYWORDS: ReadonlySet<string> = new Set([
  ...[
    '$schema',
    '$id',
    '$ref',
    '$defs',
    '$comment',
    '$vocabulary',
    'definitions',
    'type',
    'nullable',
    'const',
    'enum',
  ],
  ...[
    'multipleOf',
    'maximum',
    'minimum',
    'exclusiveMaximum',
    'exclusiveMinimum',
    'maxLength',
    'minLength',
    'pattern',
  ],
  ...['properties', 'patternProperties', 'additionalProperties', 'propertyNames', 'required', 'dependencies'],
  ...[
    'maxProperties',
    'minProperties',
    'items',
    'additionalItems',
    'contains',
    'maxItems',
    'minItems',
    'uniqueItems',
  ],
  ...['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else', 'format', 'title', 'description', 'default'],
  ...[
    'deprecated',
    'readOnly',
    'writeOnly',
    'examples',
    'contentMediaType',
    'contentEncoding',
    'contentSchema',
  ],
]);

/** The provider for the claude CLI (Claude Code), as of 2.1.329. */
export function createClaudeProvider(options: BuiltInOptions): Provider {
  const { runningAsRoot, sandboxMarker } = options;
  const { permissionModes: modes } = CAPABILITIES;
  const commandOptions = { ...options, allowRootFullAccess: runningAsRoot && sandboxMarker };
  return {
    name: 'claude',
    capabilities: { ...CAPABILITIES, permissionModes: permissionModesOf(modes, options) },
    login: CLAUDE_LOGIN,
    state: { variable: 'CLAUDE_CONFIG_DIR', home: '.claude', name: 'projects' },
    warmStart: CLAUDE_WARM_START,
    announcesBoot: true, // `system/init`
    streamCaps: [],
    envNames: CLAUDE_ENV_NAMES,
    binaries: ['claude'],
    versionArgs: ['--version'],
    unsupported: (request) => [
      ...unsupportedMode('claude', request.permissionMode, modes, options),
      ...unsupportedValues(request),
    ],
    command: (request, context) => claudeCommand(request, context, commandOptions),
    provesAsked: (event) => isAnswer(event) || isRefusal(event),
    translator: (request, run) => createClaudeTranslator(request, run),
  };
}

function unsupportedValues(request: ResolvedPrompt): readonly Unsupported[] {
  const read = readClaudeOptions(request.providerOptions);
  const found = 'problems' in read ? [...read.problems] : [];
  const later = request.allowedTools.filter((tool) => LATER_TOOLS.includes(tool.replace(/\(.*/, '')));
  if (later.length > 0 && request.background !== 'wait') {
    found.push({
      option: 'allowedTools',
      reason: `${later.join(', ')}: only for a job with background: wait`,
    });
  }
  found.push(...unsupportedSchema(request, SCHEMA_KEYWORDS));
  return found;
}
