/** Locks a data folder, prints a line, and waits to be killed. Argument: the folder. */
import { tmpdir } from 'node:os';
import { openDataFolder } from '../../../src/store/data-folder.ts';

await openDataFolder({
  home: process.argv[2] ?? '',
  cwd: tmpdir(),
  roots: [],
  trustedRoots: [],
  databasePath: null,
});
process.stdout.write('held\n');
setInterval(() => {}, 60_000);
