/** `bullpen executor`: runs the CLIs of servers on other hosts, until a signal. */
import { makeProcessPrivate } from './processes/own-process.ts';
import { listenForSignals, loadSettings, openLog, type ServeOptions } from './serve.ts';

/**
 * Runs the executor until SIGTERM or SIGINT. Resolves with the exit code.
 * @throws AppError config.invalid, also without a secret; config.locked
 */
export async function serveExecutor({
  env,
  version,
  logStream,
}: Pick<ServeOptions, 'env' | 'version' | 'logStream'>): Promise<number> {
  const settings = await loadSettings(env, 'executor');
  const { redactor, logger } = await openLog(settings, env, logStream);
  const signals = listenForSignals();
  makeProcessPrivate();
  const { startExecutorApp } = await import('./executor-app.ts');
  const app = await startExecutorApp({ settings, env, version, redactor, logger });
  signals.started();
  const { url, node, recovery } = app;
  logger.info({ url, node, recovery }, 'ready');
  process.send?.({ ready: true, url });

  const signal = await signals.first;
  logger.info({ signal }, 'stopping; a second signal interrupts the running executions');
  for (const again of ['SIGTERM', 'SIGINT'] as const) process.on(again, app.hurry);
  await app.stop();
  logger.info('stopped');
  return 0;
}
