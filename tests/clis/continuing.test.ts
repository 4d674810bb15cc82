import { continues } from '../helpers/continuing.ts';
import { CODEX, CODEX_APP_SERVER, GEMINI } from '../helpers/real-clis.ts';

for (const cli of [CODEX, CODEX_APP_SERVER, GEMINI]) continues(cli);
