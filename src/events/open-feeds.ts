/** Builds the streams that HTTP offers. */
import type { Logger } from 'pino';
import { AppError } from '../errors.ts';
import type { BatchFeed, ChangeFeed, EventHub } from '../http/ports.ts';
import type { SessionFeed } from '../http/session-ports.ts';
import type { Job } from '../protocol/job.ts';
import type { ChangeLog } from '../records/change-log.ts';
import type { JobRecords } from '../records/ports.ts';
import type { SessionRecords } from '../records/session-ports.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import type { Names } from '../redis/names.ts';
import type { Store } from '../store/store.ts';
import { type BatchFeedOptions, createBatchFeed } from './batch-feed.ts';
import { createChangeFeed } from './change-feed.ts';
import { createEventHub } from './hub.ts';
import { createSessionFeed, type SessionFeedOptions } from './session-feed.ts';

export interface Feeds {
  readonly events: EventHub;
  readonly sessionFeed: SessionFeed;
  readonly changes: ChangeFeed;
  readonly batchFeed: BatchFeed;
}

export interface OpenFeedsOptions {
  readonly records: Pick<JobRecords, 'events' | 'read'>;
  readonly sessionRecords: Pick<SessionRecords, 'entries' | 'read'>;
  readonly changeLog: ChangeLog;
  readonly store: Store;
  readonly doorbells: Doorbells;
  readonly names: Pick<Names, 'live' | 'liveSession' | 'logDoorbell'>;
  /** How long Redis keeps the log of changes. */
  readonly keepMs: number;
  /** The finished job, for its last event. @throws AppError job.not_found */
  readJob(jobId: string): Promise<Job>;
  readonly snapshot: SessionFeedOptions['snapshot'];
  readonly findBatch: BatchFeedOptions['find'];
  readonly logger: Logger;
}

export function openFeeds(options: OpenFeedsOptions): Feeds {
  const { records, sessionRecords, changeLog, store, doorbells, names } = options;
  const { keepMs, snapshot, findBatch, logger } = options;
  const changes = createChangeFeed({
    ...{ log: changeLog, doorbells, channel: names.logDoorbell, keepMs, logger },
  });
  const readJob = (id: string): Promise<Job | null> =>
    options.readJob(id).catch((error: unknown) => {
      if (error instanceof AppError && error.code === 'job.not_found') return null;
      throw error;
    });
  return {
    events: createEventHub({ records, store, doorbells, liveChannel: names.live, readJob, logger }),
    sessionFeed: createSessionFeed({
      ...{ sessions: sessionRecords, records, store, doorbells, readJob, snapshot, logger },
      ...{ liveSession: names.liveSession, liveChannel: names.live },
    }),
    changes,
    batchFeed: createBatchFeed({ changes, log: changeLog, find: findBatch }),
  };
}
