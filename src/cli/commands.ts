/** Every command, in the order of the help. */
import type { Command } from './command.ts';
import { batchCommand } from './commands/batch.ts';
import { cancelCommand } from './commands/cancel.ts';
import { doctorCommand } from './commands/doctor.ts';
import { executionsCommand } from './commands/executions.ts';
import { jobsCommand } from './commands/jobs.ts';
import { providersCommand } from './commands/providers.ts';
import { retryCommand } from './commands/retry.ts';
import { runCommand } from './commands/run.ts';
import { serveCommand } from './commands/serve.ts';
import { showCommand } from './commands/show.ts';
import { usageCommand } from './commands/usage.ts';
import { watchCommand } from './commands/watch.ts';

export const COMMANDS: readonly Command[] = [
  serveCommand,
  runCommand,
  batchCommand,
  jobsCommand,
  showCommand,
  watchCommand,
  cancelCommand,
  retryCommand,
  providersCommand,
  executionsCommand,
  usageCommand,
  doctorCommand,
];
