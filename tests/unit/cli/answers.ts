/** What a server answers the command line, and where it is. */
import type { JobListItem } from '../../../src/protocol/job.ts';
import { aJob, anOutcome, JOB_ID } from '../client/job.ts';
import { type Answer, json } from '../client/scripted-server.ts';

export const item = (changes: Partial<JobListItem> = {}): JobListItem => {
  const { request, prompt, cwd, permissionMode, allowedTools, cancelRequested, outcome, ...common } = aJob();
  return { ...common, promptPreview: prompt, error: null, costUsd: null, deniedTools: 0, ...changes };
};

export const at = (url: string) => ({ env: { BULLPEN_URL: url, BULLPEN_TOKEN: 't' } });

export const FINISHED = aJob({ status: 'succeeded', finished: true, outcome: anOutcome() });
export const READY = json(200, { ready: true, checks: {} });

/** A whole stream of events. */
export const sse = (...events: readonly object[]): Answer => {
  const frames = events.map((event, index) => {
    const stored = { seq: index + 1, jobId: JOB_ID, attempt: 1, at: '', ...event };
    return `id: ${index + 1}\ndata: ${JSON.stringify(stored)}\n\n`;
  });
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(frames.join(''));
  };
};

export const finished = (job = FINISHED) => ({ kind: 'job.finished', job });
