import type { Access } from './http-app.ts';

/** Who may use each operation, by its `operationId`. One that is not listed is for admins. */
export const ACCESS: Readonly<Record<string, Access>> = {
  getIndex: 'public',
  getHealth: 'public',
  getReadiness: 'public',
  getExecutorHealth: 'public',
  logIn: 'public',
  logOut: 'public',

  getOpenApi: 'caller',
  listProviders: 'caller',

  listJobs: 'jobs:read',
  getJob: 'jobs:read',
  listExecutions: 'jobs:read',
  streamJob: 'jobs:read',
  streamChanges: 'jobs:read',
  createStreamToken: 'jobs:read',
  listBatches: 'jobs:read',
  getBatch: 'jobs:read',
  getBatchResults: 'jobs:read',
  streamBatch: 'jobs:read',
  getQueue: 'jobs:read',

  createJob: 'jobs:write',
  changeJob: 'jobs:write',
  cancelJob: 'jobs:write',
  retryJob: 'jobs:write',
  deleteJob: 'jobs:write',
  cancelJobs: 'jobs:write',
  retryJobs: 'jobs:write',
  createBatch: 'jobs:write',
  cancelBatch: 'jobs:write',

  getUsage: 'usage:read',
  getMetrics: 'metrics:read',

  listKeys: 'admin',
  createKey: 'admin',
  revokeKey: 'admin',
  rotateKey: 'admin',
  listProcesses: 'admin',
  getProcess: 'admin',
  terminateProcess: 'admin',
  cleanUpProvider: 'admin',
  resumeProvider: 'admin',
  pauseQueue: 'admin',
  resumeQueue: 'admin',
  listNodes: 'admin',
  drainNode: 'admin',
  resumeNode: 'admin',
};
