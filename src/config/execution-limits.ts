/** The settings that bound what one execution may use and write. Part of the table in schema.ts. */
import { count, limit, MINUTE, optionalCount, SECOND, span } from './setting-kinds.ts';

export const EXECUTION_LIMITS = {
  maxOutputBytes: count(
    'BULLPEN_MAX_OUTPUT_BYTES',
    64 * 1024 * 1024,
    'The maximum output of one execution.',
    1024,
  ),
  maxLineBytes: count(
    'BULLPEN_MAX_LINE_BYTES',
    4 * 1024 * 1024,
    'The maximum length of a line of output. A longer line is shortened.',
    1024,
  ),
  maxMemoryBytes: optionalCount(
    'BULLPEN_MAX_MEMORY_BYTES',
    'no limit',
    'The maximum resident memory of one execution, including its tools.',
  ),
  maxCpuSeconds: optionalCount(
    'BULLPEN_MAX_CPU_SECONDS',
    'no limit',
    'The maximum CPU time of one execution, including its tools.',
  ),
  maxCpuPercent: optionalCount(
    'BULLPEN_MAX_CPU_PERCENT',
    'no limit',
    'The maximum CPU use of one execution, including its tools, as a mean over BULLPEN_CPU_WINDOW_MS. One busy core is 100.',
  ),
  cpuWindowMs: span(
    'BULLPEN_CPU_WINDOW_MS',
    MINUTE,
    'The time over which the CPU use of an execution is measured. A shorter run has no such limit.',
    SECOND,
  ),
  maxOpenFiles: limit(
    'BULLPEN_MAX_OPEN_FILES',
    50_000,
    'The maximum number of open files of one execution, including its tools.',
  ),
  maxProcesses: limit(
    'BULLPEN_MAX_PROCESSES',
    2000,
    'The maximum number of processes of one execution at the same time.',
  ),
  maxEvents: count('BULLPEN_MAX_EVENTS', 200_000, 'The maximum number of events of one execution.', 100),
  maxEventsPerSecond: count(
    'BULLPEN_MAX_EVENTS_PER_SECOND',
    5000,
    'How many events a CLI may cause per second before it is slowed down.',
    10,
  ),
  maxResultBytes: count('BULLPEN_MAX_RESULT_BYTES', 1024 * 1024, 'How much text an outcome keeps.', 1024),
} as const;
