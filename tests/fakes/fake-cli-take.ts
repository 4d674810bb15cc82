import { spawn } from 'node:child_process';
import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate } from 'node:timers/promises';

/** What a CLI can take of the machine, and how much of it. */
export type Taking =
  | { readonly memoryBytes: number }
  | { readonly processes: number }
  | { readonly openFiles: number }
  | { readonly cpu: true }
  /** A file of this size in its TMPDIR and one in its working directory, with this name. */
  | { readonly disk: { readonly bytes: number; readonly name: string } };

const HOLD_MS = 60_000;
const PIECE_BYTES = 10_000_000;

/** Between two pieces: on a busy machine all of it can take longer than the grace after SIGTERM. */
const handleSignals = (): Promise<void> => setImmediate();

/** Takes it and holds it; a file stays, and nothing is waited for. */
export async function take(what: Taking): Promise<void> {
  if ('disk' in what) {
    const bytes = Buffer.alloc(what.disk.bytes);
    for (const dir of [process.env['TMPDIR'] ?? '', process.cwd()])
      writeFileSync(join(dir, what.disk.name), bytes);
    return;
  }
  const held: Buffer[] = [];
  if ('memoryBytes' in what) {
    for (let taken = 0; taken < what.memoryBytes; taken += PIECE_BYTES) {
      held.push(Buffer.alloc(PIECE_BYTES, 1));
      await handleSignals();
    }
  } else if ('processes' in what) {
    for (let i = 0; i < what.processes; i += 1) {
      spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
      await handleSignals();
    }
  } else if ('openFiles' in what) for (let i = 0; i < what.openFiles; i += 1) openSync('/dev/null', 'r');
  else for (const until = Date.now() + HOLD_MS; Date.now() < until; );
  await delay(HOLD_MS);
  for (const piece of held) piece.fill(0); // not collected before
}
