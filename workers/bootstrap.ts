/**
 * What every sandboxed process does first.
 *
 * Problem: on an uncaught exception BullMQ's child reports the job as failed and then exits; the pool, which
 * has not seen the exit yet, hands the dying child to the next job, which fails too, or takes the main process
 * down. And a child that holds a socket outlives a killed parent.
 * Solution: leave without a report, so that the pool removes the child first; leave when the parent is gone.
 */

/** EX_SOFTWARE of sysexits: seen in BullMQ's message when a processor crashed. */
const CRASHED = 70;

process.removeAllListeners('uncaughtException');
process.removeAllListeners('unhandledRejection');
const crash = (error: unknown): void => {
  process.stderr.write(
    `worker crashed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exit(CRASHED);
};
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);
// BullMQ passes over a message it does not know.
process.on('message', (message: { readonly cmd?: unknown }) => {
  if (message.cmd === 'ping') process.send?.({ cmd: 'pong' });
});
process.on('disconnect', () => process.exit(0));
if (process.connected === false) process.exit(0); // it went while this process was starting
// BullMQ's handler waits for the job, which waits for Redis, which may be gone. Nothing is lost: the server
// delivers the job again, and the execution is not ours.
process.removeAllListeners('SIGTERM');
process.on('SIGTERM', () => process.exit(0));
// Ctrl-C reaches the whole terminal group; the server decides when its workers end.
process.removeAllListeners('SIGINT');
process.on('SIGINT', () => undefined);
