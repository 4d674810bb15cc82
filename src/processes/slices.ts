import { setImmediate as nextTurn } from 'node:timers/promises';

/** The loop is given back after this long, so that a look at a busy machine delays nobody. */
const SLICE_MS = 2;

/** Calls `visit` for every id, giving the event loop its turn between slices. */
export async function visitInSlices(ids: readonly number[], visit: (pid: number) => void): Promise<void> {
  let sliceStart = performance.now();
  for (const pid of ids) {
    if (performance.now() - sliceStart > SLICE_MS) {
      await nextTurn();
      sliceStart = performance.now();
    }
    visit(pid);
  }
}
