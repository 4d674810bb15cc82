/**
 * Cursor's CLI as a recipe for the custom provider. It comes from Cursor's documentation
 * (September 2026) and from users' reports: the CLI needs an account, so it was never run here.
 * Hence `experimental`.
 * https://cursor.com/docs/cli/reference/parameters,
 * https://cursor.com/docs/cli/reference/output-format
 */
import { type Static, Type } from '#typebox';
import { type WireError, wireError } from '../../errors.ts';
import { createChecker } from '../../protocol/checker.ts';
import type { PermissionMode } from '../../protocol/prompt.ts';
import {
  type BuiltInOptions,
  permissionModesOf,
  refused,
  refusedProviderOptions,
  refuseMaxRetries,
  unsupportedMode,
} from '../built-in.ts';
import { type CustomProviderOptions, createCustomProvider } from '../custom/provider.ts';
import { NODE_CERTIFICATE_NAMES, PROXY_NAMES } from '../environment.ts';
import { parseJsonLine } from '../json.ts';
import type { Login, Provider, Translator } from '../provider.ts';
import { knownFailure, LOGIN_HINT } from './failure.ts';
import { createCursorInteractive } from './interactive.ts';

/** As `providers.custom` in the settings would have it. The prompt on stdin is not documented. */
const RECIPE: CustomProviderOptions = {
  name: 'cursor-agent',
  binary: 'cursor-agent',
  args: ['--model={{model}}', '--resume={{sessionId}}'],
  stdin: true,
  warmStart: false,
  env: [
    'CURSOR_API_KEY',
    'CURSOR_CONFIG_DIR',
    ...PROXY_NAMES,
    'NODE_USE_ENV_PROXY',
    ...NODE_CERTIFICATE_NAMES,
  ],
  versionArgs: ['--version'],
  output: {
    ndjson: {
      text: '/result',
      session: '/session_id',
      inputTokens: '/usage/inputTokens',
      outputTokens: '/usage/outputTokens',
      cacheReadTokens: '/usage/cacheReadTokens',
      cacheWriteTokens: '/usage/cacheWriteTokens',
    },
  },
  success: { exitCodes: [0], pattern: null, failurePattern: null, json: null },
};

const BASE_ARGS = ['-p', '--output-format', 'stream-json'];

/**
 * Without a mode `-p` "has access to all tools, including write and shell" by the documentation,
 * while users saw changes only proposed. `ask` only reads and answers.
 */
const PERMISSION_ARGS: Readonly<Record<PermissionMode, readonly string[]>> = {
  default: ['--mode=ask'],
  plan: ['--mode=plan'],
  acceptEdits: ['--force'],
  fullAccess: ['--force', '--sandbox', 'disabled'],
};
const MODES: readonly PermissionMode[] = ['default', 'plan', 'acceptEdits', 'fullAccess'];

const LOGIN: Login = {
  variables: ['CURSOR_API_KEY'],
  files: [],
  folders: [
    { variable: 'CURSOR_CONFIG_DIR', home: '.cursor', name: '' },
    { variable: 'XDG_CONFIG_HOME', home: '.config', name: 'cursor' },
  ],
  statusArgs: ['status'],
  hint: LOGIN_HINT,
};

/**
 * The provider for Cursor's CLI.
 * @throws AppError config.invalid for `maxRetries`
 */
export function createCursorProvider(options: BuiltInOptions): Provider {
  refuseMaxRetries('cursor-agent', options, 'it retries by itself');
  const recipe = createCustomProvider(RECIPE);
  const permissionModes = permissionModesOf(MODES, options);
  return {
    ...recipe,
    // Tokens are reported at the end only, too late for a cap.
    capabilities: {
      ...recipe.capabilities,
      permissionModes,
      maxCostUsd: false,
      terminal: true,
      experimental: true,
    },
    streamCaps: [],
    login: LOGIN,
    binaries: ['cursor-agent', 'agent'],
    unsupported: (request) => [
      ...unsupportedMode('cursor-agent', request.permissionMode, MODES, options),
      ...recipe.unsupported({ ...request, permissionMode: 'default', providerOptions: {} }),
      ...refused([
        ['maxCostUsd', request.maxCostUsd !== null, 'cursor-agent does not report the cost of a run'],
      ]),
      ...refusedProviderOptions('cursor-agent', request),
    ],
    command: (request, context) => {
      const command = recipe.command({ ...request, prompt: asPlainText(request.prompt) }, context);
      return {
        ...command,
        args: [
          ...BASE_ARGS,
          // Nothing can keep the workspace's own rules and hooks from running. So the CLI refuses
          // to run in a workspace that is not trusted, except with `--force`.
          ...(context.trustedWorkspace ? ['--trust'] : []),
          ...options.args,
          ...(options.modes[request.permissionMode] ?? PERMISSION_ARGS[request.permissionMode]),
          ...command.args,
        ],
      };
    },
    translator: (request) => createCursorTranslator(recipe.translator(request)),
    interactive: createCursorInteractive(options),
  };
}

/** `/` would begin a command, and `&` would send the task to the vendor's cloud. */
const asPlainText = (prompt: string): string => (/^[/&]/.test(prompt) ? `\n${prompt}` : prompt);

const assistantLine = createChecker(
  Type.Object({
    type: Type.Literal('assistant'),
    message: Type.Object({ content: Type.Array(Type.Unknown()) }),
  }),
);
const textBlock = createChecker(Type.Object({ type: Type.Literal('text'), text: Type.String() }));
const toolLine = createChecker(
  Type.Object({
    type: Type.Literal('tool_call'),
    subtype: Type.Enum(['started', 'completed']),
    call_id: Type.String(),
  }),
);
const ResultLine = Type.Object({
  type: Type.Literal('result'),
  subtype: Type.String(),
  is_error: Type.Boolean(),
  result: Type.Optional(Type.Unknown()),
});
type ResultLine = Static<typeof ResultLine>;
const resultLine = createChecker(ResultLine);

const MAX_PLAIN_CHARACTERS = 4096;

/**
 * What pointers cannot express: whole messages before the answer, running tools, the kind of a
 * failure.
 */
function createCursorTranslator(recipe: Translator): Translator {
  const texts: string[] = [];
  const openTools = new Set<string>();
  let result: ResultLine | null = null;
  /**
   * The end of stdout without JSON: the CLI refuses an untrusted folder there, even with exit code
   * 0.
   */
  let plainOutput = '';

  return {
    line(raw, cut = null) {
      const value = parseJsonLine(raw);
      if (value === undefined) plainOutput = `${plainOutput}${raw}\n`.slice(-MAX_PLAIN_CHARACTERS);
      if (assistantLine.check(value)) {
        const text = value.message.content.map((one) => (textBlock.check(one) ? one.text : '')).join('');
        if (text !== '') texts.push(text);
        return text === '' ? [] : [{ kind: 'text', text }];
      }
      if (toolLine.check(value)) {
        if (value.subtype === 'started') openTools.add(value.call_id);
        else openTools.delete(value.call_id);
      }
      const events = recipe.line(raw, cut);
      if (!resultLine.check(value)) return events;
      result = value;
      return events.filter(({ kind }) => kind !== 'text.delta'); // it repeats the messages
    },
    get done() {
      return result !== null;
    },
    get busy() {
      return openTools.size > 0;
    },
    hopeless: null,
    get progress() {
      return recipe.progress;
    },
    end(exit, stderrTail) {
      const verdict = recipe.end(exit, stderrTail.trim() === '' ? plainOutput : stderrTail);
      const error = errorOf();
      return {
        ...verdict,
        text: error === null && verdict.text.trim() !== '' ? verdict.text : texts.join('\n\n'),
        error,
      };

      function errorOf(): WireError | null {
        if (result !== null && (result.is_error || result.subtype !== 'success')) {
          const said = typeof result.result === 'string' ? result.result.trim() : '';
          const message = said || `cursor-agent ended with ${result.subtype}`;
          return knownFailure(`${message}\n${stderrTail}`) ?? wireError('execution.crashed', message);
        }
        if (result !== null) return exit.code === 0 ? null : verdict.error;
        const known = knownFailure(stderrTail) ?? knownFailure(plainOutput);
        return exit.signal === null && known !== null ? known : verdict.error;
      }
    },
  };
}
