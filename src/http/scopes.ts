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
  getPreferences: 'caller',
  setPreferences: 'caller',
  getMe: 'caller',
  listProviders: 'caller',
  // The scope that it needs depends on its body.
  createStreamToken: 'caller',

  listJobs: 'jobs:read',
  getJob: 'jobs:read',
  listExecutions: 'jobs:read',
  streamJob: 'jobs:read',
  streamChanges: 'jobs:read',
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

  messageJob: 'jobs:write',

  listSessions: 'sessions:read',
  getSession: 'sessions:read',
  listTurns: 'sessions:read',
  streamSession: 'sessions:read',

  createSession: 'sessions:write',
  messageSession: 'sessions:write',
  interruptSession: 'sessions:write',
  forkSession: 'sessions:write',
  closeSession: 'sessions:write',
  deleteSession: 'sessions:write',

  listApprovals: 'approvals:read',
  getApproval: 'approvals:read',
  decideApproval: 'approvals:decide',

  getUsage: 'usage:read',
  getMetrics: 'metrics:read',
  listAudit: 'audit:read',

  listKeys: 'admin',
  createKey: 'admin',
  revokeKey: 'admin',
  rotateKey: 'admin',
  verifyAudit: 'admin',
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
