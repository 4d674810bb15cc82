import type { WarmStart } from '../provider.ts';

/**
 * claude reads its instructions, the state of the repository and its settings while it boots and never again
 * (observed with 2.1.329). A file that was edited below the top folder goes unnoticed: claude tells the model itself
 * that the state is that of a moment.
 */
export const CLAUDE_WARM_START: WarmStart = {
  isReady: (line) => line.includes('"control_response"') && line.includes('"hello"'),
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
