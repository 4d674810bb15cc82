import type { Logger } from 'pino';
import type { JobRecord } from '../records/ports.ts';

/**
 * Logs and counts an ended job. Each node does so for the jobs it ran, and every node for a job
 * that ran on none.
 */
export const logEnded =
  (logger: Logger, nodeId: string, count: (job: JobRecord) => void) =>
  (job: JobRecord): void => {
    const { id, node, status, request, outcome } = job;
    if (node !== null && node !== nodeId) return;
    count(job);
    const fields = {
      jobId: id,
      status,
      code: outcome?.error?.code ?? null,
      provider: outcome?.provider ?? request.provider,
      durationMs: outcome?.durationMs ?? null,
      costUsd: outcome?.usage?.costUsd ?? null,
    };
    logger.info(fields, 'job ended');
  };
