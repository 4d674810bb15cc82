import type { ResolvedPrompt } from '../../../protocol/prompt.ts';
import { type BuiltInOptions, checkedSessionId } from '../../built-in.ts';
import { withoutDialect } from '../../output-schema.ts';
import type { Command, CommandContext } from '../../provider.ts';
import { distrust, instructionsOf, PROFILE, profileArgs } from '../command.ts';
import { HELLO, rpcNotice, rpcRequest, THREAD, TURN } from './rpc.ts';

/**
 * Notices that we do not read. Those that come between two turns would also make an idle process
 * look as if it worked.
 */
const UNREAD: readonly string[] = [
  'account/updated',
  'app/list/updated',
  'configWarning',
  'deprecationNotice',
  'item/commandExecution/outputDelta',
  'item/fileChange/outputDelta',
  'item/fileChange/patchUpdated',
  'item/mcpToolCall/progress',
  'item/plan/delta',
  'item/reasoning/summaryPartAdded',
  'item/reasoning/summaryTextDelta',
  'item/reasoning/textDelta',
  'mcpServer/startupStatus/updated',
  'remoteControl/status/changed',
  'skills/changed',
  'thread/goal/cleared',
  'thread/goal/updated',
  'thread/name/updated',
  'thread/queue/changed',
  'thread/readState/changed',
  'thread/settings/updated',
  'thread/started',
  'thread/status/changed',
  'turn/diff/updated',
  'turn/plan/updated',
];

/** Without them codex may ask questions only in a mode that changes nothing. */
const QUESTIONS: readonly string[] = [
  '--config=features.default_mode_request_user_input=true',
  '--config=suppress_unstable_features_warning=true',
];

/** What brings up a process. Its answer shows that it has booted. */
const OPENING =
  rpcRequest(HELLO, 'initialize', {
    clientInfo: { name: 'bullpen', title: 'Bullpen', version: '1' },
    // For `permissions`, which names a permission profile.
    capabilities: { experimentalApi: true, requestAttestation: false, optOutNotificationMethods: UNREAD },
  }) + rpcNotice('initialized');

/**
 * The command of a process that serves the turns of any thread: what differs between them is not
 * in its arguments. `Control` starts the turn as soon as the thread is open.
 * @throws AppError execution.invalid_request when the session id to resume is not one of codex's
 */
export function appServerCommand(
  request: ResolvedPrompt,
  context: CommandContext,
  { args }: Pick<BuiltInOptions, 'args'>,
): Command {
  const { permissionMode } = request;
  return {
    args: [
      'app-server',
      ...(context.trustedWorkspace ? [] : [distrust(request.cwd)]),
      ...args,
      ...(permissionMode === 'fullAccess' ? [] : profileArgs(permissionMode, context.privatePaths)),
      ...(asks(request) ? QUESTIONS : []),
    ],
    opening: OPENING,
    stdin: openThread(request, context),
    env: {},
  };
}

/** Whether a person decides what the sandbox refuses. */
export const asks = ({ onPermissionDenied }: ResolvedPrompt): boolean => onPermissionDenied === 'ask';

const approvalPolicy = (request: ResolvedPrompt): string => (asks(request) ? 'on-request' : 'never');

/**
 * The permissions are named each time: a thread that is resumed would keep those of its last turn
 * and not take those that the process was started with (observed with 0.169.0).
 */
function openThread(request: ResolvedPrompt, { nativeSessionId, fork = false }: CommandContext): string {
  const threadId = checkedSessionId('codex', nativeSessionId);
  const params = {
    cwd: request.cwd,
    approvalPolicy: approvalPolicy(request),
    ...(request.permissionMode === 'fullAccess'
      ? { sandbox: 'danger-full-access' }
      : { permissions: PROFILE }),
    ...(request.model === null ? {} : { model: request.model }),
  };
  if (threadId === null) return rpcRequest(THREAD, 'thread/start', params);
  const method = fork ? 'thread/fork' : 'thread/resume';
  return rpcRequest(THREAD, method, { threadId, ...params, excludeTurns: true });
}

/** Starts the turn of the prompt. @param promptId a UUID */
export const startTurn = (request: ResolvedPrompt, threadId: string, promptId: string): string =>
  rpcRequest(TURN, 'turn/start', {
    threadId,
    clientUserMessageId: promptId,
    input: textInput(instructionsOf(request.appendSystemPrompt) + request.prompt),
    approvalPolicy: approvalPolicy(request),
    ...(request.model === null ? {} : { model: request.model }),
    ...(request.effort === null ? {} : { effort: request.effort }),
    ...(request.outputSchema === null ? {} : { outputSchema: withoutDialect(request.outputSchema) }),
  });

export const textInput = (text: string): readonly object[] => [{ type: 'text', text, text_elements: [] }];
