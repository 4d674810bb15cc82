/** The codes of errors as people say them. */
const WORDS: Readonly<Record<string, string>> = {
  ...{ 'auth.required': 'Not logged in', 'auth.revoked': 'Key revoked', 'auth.unsigned': 'Not signed' },
  ...{ 'approval.expired': 'No answer in time', 'queue.expired': 'Waited too long' },
  ...{ 'execution.cancelled': 'Cancelled', 'execution.interrupted': 'Interrupted' },
  ...{ 'execution.quota': 'Usage limit reached', 'execution.overloaded': 'Vendor overloaded' },
  ...{ 'execution.budget': 'Budget spent', 'execution.max_turns': 'Turns used up' },
  ...{ 'execution.invalid_request': 'Request refused', 'execution.permission_denied': 'Tool denied' },
  ...{ 'execution.cli_missing': 'CLI not installed', 'execution.timed_out': 'Timed out' },
  ...{ 'execution.idle': 'Silent for too long', 'execution.output_limit': 'Too much output' },
  ...{ 'execution.resource_limit': 'Out of resources', 'execution.bad_output': 'No usable result' },
  ...{ 'execution.crashed': 'CLI crashed', 'execution.lost': 'Server ended' },
  ...{
    'execution.node_unavailable': 'No server for it',
    'execution.awaiting_approval': 'Waits for an answer',
  },
  ...{ 'cwd.not_allowed': 'Folder not allowed', 'provider.denied': 'Provider not allowed' },
  ...{ 'provider.unknown': 'No such provider', 'provider.unsupported_option': 'Option not supported' },
  ...{ 'permission_mode.denied': 'Permission mode not allowed', 'tools.denied': 'Tool not allowed' },
  ...{ 'record.damaged': 'Record damaged', 'redis.unavailable': 'Redis unavailable' },
};

/** A code without words is its own word. */
export const errorWords = (code: string): string => WORDS[code] ?? code;
