// Starts other programs as a shell would. It stays small, because a fork takes longer the more
// memory a process has. Message in: {id, binary, args, stdin, cwd, env}. Message out: {id, code,
// output, firstMs, endMs}: milliseconds from the spawn to the first piece of text (or null) and to
// the exit.
import { spawn } from 'node:child_process';

const TEXT_BEGINS = '"text_delta"';
const KEPT_CHARACTERS = 100_000;

/**
 * @param {{ id: number, binary: string, args: string[], stdin: string, cwd: string, env:
 * Record<string, string> }} wanted
 */
function start({ id, binary, args, stdin, cwd, env }) {
  const startedAt = performance.now();
  // A session of its own, as Bullpen gives it one: Linux shares a busy processor out by session
  // (sched_autogroup).
  const child = spawn(binary, args, { cwd, env, stdio: ['pipe', 'pipe', 'ignore'], detached: true });
  let output = '';
  /** @type {number | null} */
  let firstMs = null;
  child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ chunk) => {
    output = (output + chunk).slice(-KEPT_CHARACTERS);
    if (firstMs === null && output.includes(TEXT_BEGINS)) firstMs = performance.now() - startedAt;
  });
  child.once('error', (error) => process.send?.({ id, failed: `${binary}: ${error.message}` }));
  child.once('close', (code) => {
    process.send?.({ id, code, output, firstMs, endMs: performance.now() - startedAt });
  });
  child.stdin.on('error', () => {}); // it may be ended before it has read everything
  child.stdin.end(stdin);
}

process.on('message', (/** @type {any} */ wanted) => start(wanted));
