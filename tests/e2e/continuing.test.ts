import { continues } from '../helpers/continuing.ts';
import { CLAUDE } from '../helpers/real-clis.ts';

continues(CLAUDE);
