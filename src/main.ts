/** Load the settings → start → signals → stop. */
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import v8 from 'node:v8';
import { startApp } from './app.ts';
import { runCommand } from './cli/command.ts';
import { loadSettings } from './config/load.ts';
import { AppError, messageOf } from './errors.ts';
import { createLogger } from './observability/logger.ts';

/** The nearest one above this module: one folder up in source, two once built. */
const manifest: { version: string } = JSON.parse(
  readFileSync(findPackageJSON(import.meta.url) ?? '', 'utf8'),
);

/** The process: one command, its failures in words, its exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await runCommand(args, serve);
  } catch (error) {
    return reportFailure(error);
  }
}

/** Exit code of a start that was interrupted, as shells have it for Ctrl-C. */
const INTERRUPTED = 130;

/** `bullpen serve`: runs the server until a signal ends it. Resolves with the exit code. */
async function serve(): Promise<number> {
  const settings = loadSettings(process.env, process.cwd());
  const logger = createLogger(settings.logLevel);
  // BullMQ does not catch a message to a worker process that has just died; the job itself is redelivered.
  process.on('unhandledRejection', (error: unknown) => {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ERR_IPC_CHANNEL_CLOSED' || code === 'EPIPE') {
      logger.debug({ reason: messageOf(error) }, 'a worker process was gone before its message');
      return;
    }
    throw error;
  });
  const signalled = Promise.withResolvers<NodeJS.Signals>();
  let started = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // Nothing was accepted yet, and dying at any point is survived: a start need not be waited for.
      if (!started) process.exit(INTERRUPTED);
      signalled.resolve(signal);
    });
  }

  const app = await startApp({ settings, env: process.env, version: manifest.version, logger });
  started = true;
  v8.setFlagsFromString('--semi-space-growth-factor=2'); // bin.js held it down while modules were loaded
  logger.info(
    { url: app.url, redisPort: app.redisPort, tokenFile: app.tokenFile, recovery: app.recovery },
    'ready',
  );
  process.send?.({ ready: true, url: app.url, redisPort: app.redisPort });

  const signal = await signalled.promise;
  logger.info({ signal }, 'stopping; a second signal interrupts what runs');
  for (const again of ['SIGTERM', 'SIGINT'] as const) process.on(again, app.hurry);
  await app.stop();
  logger.info('stopped');
  return 0;
}

/** Says what went wrong in words a person can act on; the exit code for it. */
function reportFailure(error: unknown): number {
  const known = error instanceof AppError;
  process.stderr.write(
    `bullpen: ${known ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  );
  return known && error.code.startsWith('config.') ? 78 : 1;
}
