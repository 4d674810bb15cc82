import type { IncomingHttpHeaders } from 'node:http';
import type { MessagesRequest } from './anthropic-request.ts';

/**
 * Separates the requests that the claude CLI makes for itself from turns of the user's
 * conversation.
 *
 * Seen with 2.1.329: a session title (no tools, `output_config.format`, the prompt quoted within
 * `<session>`), probes of key, model and quota (`max_tokens: 1`), helpers of tools such as WebFetch
 * (no tools, no thinking), the suggestion of a next prompt, the summary for a compaction. A turn of
 * the conversation has tools, or (with `--tools ""`) a `system` message or a thinking setting.
 *
 * @returns why it is the CLI's own, or null. Requests of other clients are never the CLI's own.
 */
export function claudeOwnRequest(
  headers: IncomingHttpHeaders,
  request: MessagesRequest,
  lastText: string,
): string | null {
  if (!(headers['user-agent'] ?? '').startsWith('claude-cli/')) return null;
  if (request.max_tokens === 1) return 'probe';
  if (lastText.startsWith('[SUGGESTION MODE')) return 'suggestion';
  if (lastText.startsWith('CRITICAL: Respond with TEXT ONLY')) return 'compaction';
  if ((request.tools?.length ?? 0) > 0) return null;
  if (request.output_config?.format !== undefined) return 'structured helper';
  const thinking = request.thinking !== undefined && request.thinking.type !== 'disabled';
  const conversation = request.messages.some((message) => message.role === 'system');
  return thinking || conversation ? null : 'helper';
}

const MACHINE_OPENINGS = [
  '[structured-output-enforce]',
  '[SYSTEM NOTIFICATION',
  '[Request interrupted by user',
  '<task-notification>',
  '<local-command-',
  '<command-name>',
  'This session is being continued from a previous conversation',
  '<bash-',
  'Caveat: The messages below were generated',
];

/**
 * What a person wrote in a text of a user message: without the CLI's reminders, and nothing if the
 * CLI wrote it all.
 */
export function personsText(text: string): string {
  const own = text.replaceAll(/<system-reminder>[\s\S]*?<\/system-reminder>/g, '').trim();
  return MACHINE_OPENINGS.some((opening) => own.startsWith(opening)) ? '' : own;
}
