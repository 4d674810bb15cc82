/**
 * The program of every sandboxed process: BullMQ's, which loads a processor and runs it, with other
 * crash and exit rules.
 *
 * Problem: on an uncaught exception BullMQ's child reports the job as failed and then exits. The
 * pool has not seen the exit yet and gives the dying child the next job. That job fails too, or the
 * main process crashes. And a child with an open socket survives a killed parent.
 * Solution: exit without a report, so that the pool removes the child first. Exit when the parent
 * is gone.
 */
import 'bullmq/dist/cjs/classes/main.js';

/** EX_SOFTWARE of sysexits; BullMQ's message shows it when a processor crashed. */
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
// `queue/worker-processes.ts` asks whether the process still answers. BullMQ ignores unknown
// messages.
process.on('message', (message: { readonly cmd?: unknown }) => {
  if (message.cmd === 'ping') process.send?.({ cmd: 'pong' });
});
process.on('disconnect', () => process.exit(0));
if (process.connected === false) process.exit(0); // the parent died while this process was starting
// BullMQ's handler waits for the job, which waits for Redis, which may be gone. Exiting loses
// nothing: the server delivers the job again, and the execution belongs to the executor.
process.removeAllListeners('SIGTERM');
process.on('SIGTERM', () => process.exit(0));
// Ctrl-C reaches the whole terminal group. The server decides when its workers exit.
process.removeAllListeners('SIGINT');
process.on('SIGINT', () => undefined);
