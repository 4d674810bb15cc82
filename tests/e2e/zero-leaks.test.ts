import { CLAUDE } from '../helpers/real-clis.ts';
import { leavesNothing } from '../helpers/zero-leaks.ts';

leavesNothing(CLAUDE);
