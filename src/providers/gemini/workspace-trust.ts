/**
 * What a workspace's own files may say (as of gemini 0.61.0).
 *
 * Only where GEMINI_CLI_TRUST_WORKSPACE is `false` to the end are they all left out: settings with their hooks, MCP
 * servers and commands, `.gemini/.env`, agents, GEMINI.md. `--skip-trust` is no way: with it the CLI takes the workspace for
 * trusted before it looks for a login, and then reads its `.gemini/.env`, which can send the key elsewhere
 * (GOOGLE_GEMINI_BASE_URL) or load code into what is started (LD_PRELOAD).
 *
 * Two things follow. The CLI ends with 55 unless the user who runs it has `security.folderTrust.enabled: false` in
 * ~/.gemini/settings.json: no flag and no variable says so. And it knows no mode but the default one there, so that the
 * others are rules of its policy engine. Of a plain `.env` the names of a login are still read where the server
 * has none of its own (GEMINI_API_KEY, GOOGLE_API_KEY, GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_LOCATION), unless the user has
 * `advanced.ignoreLocalEnv: true`.
 */
import type { PermissionMode } from '../../protocol/prompt.ts';
import { CHANGING_TOOLS, type ToolRules } from './tool-policy.ts';

/** Flags and variables that say whether the workspace is trusted. */
export const trustOf = (trusted: boolean): { args: readonly string[]; env: Record<string, string> } => ({
  args: trusted ? ['--skip-trust'] : [],
  env: { GEMINI_CLI_TRUST_WORKSPACE: String(trusted) },
});

/** Each mode as rules, beside the tools a job lists. `plan` stays read-only, whatever they are. */
export function modeRules(mode: PermissionMode, listed: ToolRules): ToolRules {
  switch (mode) {
    case 'default':
      return listed;
    case 'plan':
      return { allowed: [], denied: [...CHANGING_TOOLS, ...listed.denied] };
    case 'acceptEdits':
      return { ...listed, allowed: ['write_file', 'replace', 'web_fetch', ...listed.allowed] };
    case 'fullAccess':
      return { ...listed, allowed: ['*'] };
  }
}
