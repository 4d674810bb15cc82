/** What a server does to its own process before it writes a file or starts another process. */
import { closeSync, readdirSync, readFileSync } from 'node:fs';

/** As open(2) has it on Linux; the descriptor is closed where another program begins. */
const O_CLOEXEC = 0o2000000;
const PRIVATE = 0o077;

let before: number | null = null;

/**
 * From now on what this process makes is its user's alone, and what its own starter left open reaches no process
 * that it starts: a CLI could read and write there. Node keeps back only descriptors below 16 by itself. Idempotent.
 */
export function makeProcessPrivate(): void {
  before ??= process.umask(PRIVATE);
  for (const descriptor of inheritedDescriptors()) closeSync(descriptor);
}

/** The umask that the user had set, which CLIs have; null: this process has not changed it. */
export const umaskOfUser = (): number | null => before;

/** Whatever Node opens itself is closed on exec. Only Linux tells. */
function inheritedDescriptors(): readonly number[] {
  try {
    return readdirSync('/proc/self/fd')
      .map(Number)
      .filter((descriptor) => descriptor > 2 && !closesOnExec(descriptor));
  } catch {
    return [];
  }
}

function closesOnExec(descriptor: number): boolean {
  try {
    const [, flags = '0'] =
      /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')) ?? [];
    return (Number.parseInt(flags, 8) & O_CLOEXEC) !== 0;
  } catch {
    return true; // it has been closed meanwhile: the one that listed the folder
  }
}
