import type { Logger } from 'pino';
import type { JobRecord } from '../records/ports.ts';

/** Logs an ended job. Each node logs the jobs it ran; every node logs a job that ran on none. */
export const logEnded =
  (logger: Logger, nodeId: string) =>
  ({ id, node, status, request, outcome }: JobRecord): void => {
    if (node !== null && node !== nodeId) return;
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
