/** Holds the lock of a data folder and says so, until it is killed. Argument: the folder. */
import { lockFolder } from '../../../src/store/folder-lock.ts';

await lockFolder(process.argv[2] ?? '');
process.stdout.write('held\n');
setInterval(() => {}, 60_000);
