/** Makes the server's own process safe before it writes files and starts other processes. */
import { closeSync, readdirSync, readFileSync } from 'node:fs';

/** Flag of open(2) on Linux: the descriptor is closed on exec. */
const O_CLOEXEC = 0o2000000;
const PRIVATE = 0o077;

let umaskBefore: number | null = null;

/**
 * Sets the umask so that only this user can read new files. Closes the descriptors that this
 * process inherited, because the CLIs it starts could read and write them (Node itself withholds
 * only those below 16). Idempotent.
 */
export function makeProcessPrivate(): void {
  umaskBefore ??= process.umask(PRIVATE);
  for (const descriptor of inheritedDescriptors()) closeSync(descriptor);
}

/** The user's own umask, for the CLIs; null: this process has not changed it. */
export const umaskOfUser = (): number | null => umaskBefore;

/** Open descriptors without O_CLOEXEC; Node opens its own with that flag. Empty outside Linux. */
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
    return true; // closed already: it was the one that listed the folder
  }
}
