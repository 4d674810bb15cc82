import { CODEX, GEMINI } from '../helpers/real-clis.ts';
import { leavesNothing } from '../helpers/zero-leaks.ts';

for (const cli of [CODEX, GEMINI]) leavesNothing(cli);
