import { CODEX, CODEX_APP_SERVER, GEMINI } from '../helpers/real-clis.ts';
import { leavesNothing } from '../helpers/zero-leaks.ts';

for (const cli of [CODEX, CODEX_APP_SERVER, GEMINI]) leavesNothing(cli);
