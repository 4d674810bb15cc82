// A program that spawns `cat`, and nothing else: small, as forking takes longer the more memory a process has.
// Told `{id, count, concurrency, prompt}` it answers `{id, times, totalMs}`, in milliseconds.
import { spawn } from 'node:child_process';

/** @param {string} prompt */
function once(prompt) {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const child = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0 && output === prompt) resolve(performance.now() - startedAt);
      else reject(new Error(`cat ended with ${code}: ${output}`));
    });
    child.stdin.end(prompt);
  });
}

/** @param {{ count: number, concurrency: number, prompt: string }} wanted */
async function measure({ count, concurrency, prompt }) {
  /** @type {number[]} */
  const times = [];
  let next = 0;
  const startedAt = performance.now();
  const loop = async () => {
    while (next < count) {
      next += 1;
      times.push(await once(prompt));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return { times, totalMs: performance.now() - startedAt };
}

process.on('message', async (/** @type {any} */ wanted) => {
  try {
    process.send?.({ id: wanted.id, ...(await measure(wanted)) });
  } catch (error) {
    process.send?.({ id: wanted.id, failed: String(error) });
  }
});
