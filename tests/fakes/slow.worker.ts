/** A sandboxed processor that takes longer to start than a pool that stops waits for it. */

const START_MS = 6000;
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, START_MS);

export default async function deliver(): Promise<void> {}
