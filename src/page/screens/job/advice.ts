/** What a person can do about the error of a job. */

const ADVICE: Readonly<Record<string, string>> = {
  'auth.required': 'Log the CLI in on the server, or give it a key: System says how. Then retry the job.',
  'auth.revoked': 'The key that made the job was revoked. Make the job again with a valid key.',
  'approval.expired':
    'Retry the job, and answer in time; approvalTimeoutMs sets how long an answer may take.',
  'execution.quota': 'Retry it when the limit is open again, or with another provider or login.',
  'execution.overloaded': 'The vendor is overloaded. Retry it later, or give the job more attempts.',
  'execution.budget': 'Raise maxCostUsd, and continue the session.',
  'execution.max_turns': 'Raise maxTurns, and continue the session.',
  'execution.invalid_request':
    'Read the message: the CLI or the vendor names what it refused. Change it, and make the job again.',
  'execution.permission_denied':
    'Allow the tool in allowedTools, or have the job ask: onPermissionDenied: ask.',
  'execution.cli_missing': 'Install the CLI on the server, or name its path in the settings.',
  'execution.timed_out': 'Raise timeoutMs, or give the agent less to do. Its session can be continued.',
  'execution.idle': 'Raise idleTimeoutMs if the work is silent for so long. Its session can be continued.',
  'execution.output_limit': 'The CLI wrote more than the limit allows. Ask for less, or raise the limit.',
  'execution.resource_limit': 'Raise the limit, or run fewer jobs at the same time.',
  'execution.bad_output': 'Look at the raw log: the CLI ended without a result that can be read.',
  'execution.crashed': 'Look at the raw log for the last words of the CLI. Its session can be continued.',
  'execution.lost': 'The server ended while the job ran. Continue its session.',
  'execution.node_unavailable': 'The server that has its session is away. Retry the job from the start.',
  'execution.interrupted': 'A person stopped the turn. Send the next message, or continue the session.',
  'queue.expired': 'It waited longer than ttlMs. Retry it, with a longer time or a higher priority.',
};

/** Null: the message says all there is to say. */
export const adviceOn = (code: string): string | null => ADVICE[code] ?? null;
