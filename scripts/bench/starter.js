// Starts other programs as a shell would. It stays small, because a fork takes longer the more
// memory a process has. Each message has an `id`, which the answer repeats:
// {run: command} runs a program; out: {code, output, firstMs, endMs}, milliseconds from the spawn
// to the first piece of text (or null) and to the exit.
// {boot: command, name} starts a program and answers when it waits for a prompt.
// {prompt, name, stays} writes the prompt to it; out: {output, firstMs, resultMs, endMs}, in
// milliseconds from there to the first piece of text, to the line of the result and to the exit. A
// process that stays does not exit: its end is the line of the result.
import { spawn } from 'node:child_process';

const TEXT_BEGINS = '"text_delta"';
const IS_RESULT = '"type":"result"';
const IS_READY = '"control_response"';
const KEPT_CHARACTERS = 100_000;

/**
 * @typedef {object} Command
 * @property {string} binary
 * @property {string[]} args
 * @property {string} stdin
 * @property {string} cwd
 * @property {Record<string, string>} env
 */

/** @type {Map<string, { prompt(text: string, stays: boolean): Promise<unknown> }>} */
const booted = new Map();

/**
 * A session of its own, as Bullpen gives it one: Linux shares a busy processor out by session
 * (sched_autogroup).
 * @param {Command} command
 */
function start({ binary, args, cwd, env }) {
  const child = spawn(binary, args, { cwd, env, stdio: ['pipe', 'pipe', 'ignore'], detached: true });
  child.stdout.setEncoding('utf8');
  child.stdin.on('error', () => {}); // it may be ended before it has read everything
  const failed = new Promise((_, reject) => {
    child.once('error', (error) => reject(new Error(`${binary}: ${error.message}`)));
  });
  return { child, failed };
}

/** @param {Command} command */
function run(command) {
  const startedAt = performance.now();
  const { child, failed } = start(command);
  let output = '';
  /** @type {number | null} */
  let firstMs = null;
  child.stdout.on('data', (/** @type {string} */ chunk) => {
    output = (output + chunk).slice(-KEPT_CHARACTERS);
    if (firstMs === null && output.includes(TEXT_BEGINS)) firstMs = performance.now() - startedAt;
  });
  const closed = new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, output, firstMs, endMs: performance.now() - startedAt }));
  });
  child.stdin.end(command.stdin);
  return Promise.race([closed, failed]);
}

/**
 * @param {string} name
 * @param {Command} command its stdin is the message that it answers once it has booted
 */
async function boot(name, command) {
  const { child, failed } = start(command);
  const closed = new Promise((resolve) => child.once('close', resolve));
  const died = closed.then((code) => Promise.reject(new Error(`it exited with ${code}`)));
  for (const outcome of [failed, died]) outcome.catch(() => {});
  let unfinished = '';
  /** @type {(line: string) => void} */
  let onLine = () => {};
  child.stdout.on('data', (/** @type {string} */ chunk) => {
    const lines = (unfinished + chunk).split('\n');
    unfinished = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  booted.set(name, {
    async prompt(text, stays) {
      const startedAt = performance.now();
      const since = () => performance.now() - startedAt;
      /** @type {number | null} */
      let firstMs = null;
      const answered = new Promise((resolve) => {
        onLine = (line) => {
          if (line.includes(TEXT_BEGINS)) firstMs ??= since();
          if (line.includes(IS_RESULT)) resolve({ output: line, firstMs, resultMs: since() });
        };
      });
      if (stays) child.stdin.write(text);
      else child.stdin.end(text);
      const answer = await Promise.race([answered, failed, died]);
      if (!stays) await closed;
      return { ...answer, endMs: since() };
    },
  });
  const ready = new Promise((resolve) => {
    onLine = (line) => {
      if (line.includes(IS_READY)) resolve({});
    };
  });
  child.stdin.write(command.stdin);
  return Promise.race([ready, failed, died]);
}

/** @param {any} wanted */
async function answerTo({ run: command, boot: ahead, name, prompt, stays }) {
  if (command !== undefined) return run(command);
  if (ahead !== undefined) return boot(name, ahead);
  return booted.get(name)?.prompt(prompt, stays);
}

process.on('message', (/** @type {any} */ wanted) => {
  answerTo(wanted).then(
    (answer) => process.send?.({ ...answer, id: wanted.id }),
    (error) => process.send?.({ id: wanted.id, failed: String(error) }),
  );
});
// A process that waits for a prompt holds its pipes open.
process.on('disconnect', () => process.exit());
