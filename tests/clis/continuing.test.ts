import { continues } from '../helpers/continuing.ts';
import { CODEX, GEMINI } from '../helpers/real-clis.ts';

for (const cli of [CODEX, GEMINI]) continues(cli);
