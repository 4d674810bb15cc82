import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Capabilities, Provider } from '../provider.ts';
import { claudeCommand, MAX_ARGUMENT_BYTES } from './command.ts';
import { CLAUDE_ENV_NAMES } from './env-names.ts';
import { readClaudeOptions } from './options.ts';
import { createClaudeTranslator } from './translator.ts';

export interface ClaudeProviderOptions {
  /** Arguments of every run, from the settings. */
  readonly defaultArgs?: readonly string[];
  /** Retries of a failed API call inside the CLI; null leaves it to the CLI (10 as of 2.1.329). */
  readonly maxRetries?: number | null;
  /** The CLI refuses to skip permissions as root … */
  readonly runningAsRoot: boolean;
  /** … unless the operator says that this is a sandbox. */
  readonly sandboxMarker: boolean;
}

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
};

/** The CLI ignores other levels with a warning. */
const EFFORTS = ['low', 'medium', 'high', 'xhigh', 'max'];

/** The provider for the claude CLI (Claude Code), as of 2.1.329. */
export function createClaudeProvider(options: ClaudeProviderOptions): Provider {
  const { defaultArgs = [], maxRetries = null, runningAsRoot, sandboxMarker } = options;
  const fullAccess = !runningAsRoot || sandboxMarker;
  const permissionModes = CAPABILITIES.permissionModes.filter((mode) => fullAccess || mode !== 'fullAccess');
  const commandOptions = { defaultArgs, maxRetries, allowRootFullAccess: runningAsRoot && sandboxMarker };
  return {
    name: 'claude',
    capabilities: { ...CAPABILITIES, permissionModes },
    envNames: CLAUDE_ENV_NAMES,
    binaries: ['claude'],
    versionArgs: ['--version'],
    unsupported: (request) => [
      ...(request.permissionMode === 'fullAccess' && !fullAccess
        ? [{ option: 'permissionMode', reason: 'claude refuses fullAccess to root outside a sandbox' }]
        : []),
      ...unsupportedValues(request),
    ],
    command: (request, context) => claudeCommand(request, context, commandOptions),
    translator: createClaudeTranslator,
  };
}

function unsupportedValues(request: ResolvedPrompt): { option: string; reason: string }[] {
  const read = readClaudeOptions(request.providerOptions);
  const found = 'problems' in read ? [...read.problems] : [];
  if (request.effort !== null && !EFFORTS.includes(request.effort)) {
    found.push({ option: 'effort', reason: `claude knows ${EFFORTS.join(', ')}` });
  }
  const tooLong = { reason: `claude takes it as an argument of at most ${MAX_ARGUMENT_BYTES} bytes` };
  if (Buffer.byteLength(request.appendSystemPrompt ?? '') > MAX_ARGUMENT_BYTES) {
    found.push({ option: 'appendSystemPrompt', ...tooLong });
  }
  if (
    request.outputSchema !== null &&
    Buffer.byteLength(JSON.stringify(request.outputSchema)) > MAX_ARGUMENT_BYTES
  ) {
    found.push({ option: 'outputSchema', ...tooLong });
  }
  return found;
}
