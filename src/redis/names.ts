/**
 * Names of queues, keys and channels; they occur only here. All keys have the same hash tag, so
 * they share one slot, and a script can build the names of its keys from the prefix.
 */
import type { ChannelSettings } from '../config/schema.ts';

export interface Names {
  /** Prefix of every key, with the hash tag; also BullMQ's prefix. */
  readonly prefix: string;
  /** The BullMQ queue. */
  readonly queue: string;
  /** Channel of doorbells to executors and of raw requests. */
  readonly requests: string;
  /** Channel of doorbells about ended jobs, and of raw answers. */
  readonly responses: string;
  job(id: string): string;
  events(id: string): string;
  /** Hash of an approval. */
  approval(id: string): string;
  /** Hash of a job's approvals: the CLI's id of a call → the approval's id. */
  approvals(jobId: string): string;
  /** Set of approvals that were over before the CLI of a session had an answer. */
  unanswered(sessionId: string): string;
  /** Set of a session's pending approvals. */
  sessionAsks(sessionId: string): string;
  /** Hash of the messages into the running turn of a job. */
  messages(jobId: string): string;
  /** Channel of doorbells with the last event number of a job. */
  live(id: string): string;
  session(id: string): string;
  /** Stream of a session: its changes, what its terminal shows, pointers to events of its jobs. */
  sessionEvents(id: string): string;
  /** Channel of doorbells with the last event number of a session that has a record. */
  liveSession(id: string): string;
  /** Hash of the terminals that are not over: id → node. */
  readonly terminals: string;
  /** List of the questions that other nodes ask a node. */
  asks(node: string): string;
  /** Key of the answer to a question. */
  answer(id: string): string;
  /** Channel of doorbells about questions to a node. */
  asksDoorbell(node: string): string;
  /** Channel of doorbells about answers to a node, with the id of the question. */
  answersDoorbell(node: string): string;
  /** Stream of record changes that every node projects. */
  readonly log: string;
  /** Channel of doorbells about the log, with the id of the changed job. */
  readonly logDoorbell: string;
  /** Sorted set of node id → last heartbeat, in Redis milliseconds. */
  readonly nodes: string;
  /** Sorted set of running job id → end of its lease. */
  readonly running: string;
  /** Hash of gates: what must not start now. `src/records/scripts/gates.lua` has its form. */
  readonly gates: string;
  /** Hash of credential → the model that it ran last for a job that names none. */
  readonly lastModels: string;
  /** Hash of node → its credentials by provider. */
  readonly credentials: string;
  /** Hash of a credential's name without an account → its name with one. */
  readonly accounts: string;
  /** Key of the HMAC that names credentials. */
  readonly credentialKey: string;
  /** Hash of a caller's key id → its record. */
  readonly keys: string;
  /** Names the state of the keys; another one after each change. */
  readonly keysVersion: string;
  /** Hash of key id → when it was last used, in milliseconds. */
  readonly keysUsed: string;
  /** Hash of node → the last link of its audit's chain: `seq hash`. */
  readonly auditHeads: string;
  /** What pages remember of a principal: JSON. */
  preferences(principal: string): string;
  /** Channel of doorbells about keys. */
  readonly keysDoorbell: string;
}

export function createNames(settings: ChannelSettings): Names {
  const prefix = `{${settings.prefix}}`;
  return {
    prefix,
    queue: 'prompts',
    requests: settings.requestChannel,
    responses: settings.responseChannel,
    job: (id) => `${prefix}:job:${id}`,
    events: (id) => `${prefix}:events:${id}`,
    approval: (id) => `${prefix}:approval:${id}`,
    approvals: (jobId) => `${prefix}:approvals:${jobId}`,
    unanswered: (sessionId) => `${prefix}:unanswered:${sessionId}`,
    sessionAsks: (sessionId) => `${prefix}:session:${sessionId}:asks`,
    messages: (jobId) => `${prefix}:messages:${jobId}`,
    live: (id) => `${prefix}:live:${id}`,
    session: (id) => `${prefix}:session:${id}`,
    sessionEvents: (id) => `${prefix}:sevents:${id}`,
    liveSession: (id) => `${prefix}:live:s:${id}`,
    terminals: `${prefix}:terminals`,
    asks: (node) => `${prefix}:asks:${node}`,
    answer: (id) => `${prefix}:answer:${id}`,
    asksDoorbell: (node) => `${prefix}:live:asks:${node}`,
    answersDoorbell: (node) => `${prefix}:live:answers:${node}`,
    log: `${prefix}:log`,
    logDoorbell: `${prefix}:live:log`,
    nodes: `${prefix}:nodes`,
    running: `${prefix}:running`,
    gates: `${prefix}:gates`,
    lastModels: `${prefix}:gates:models`,
    credentials: `${prefix}:credentials`,
    accounts: `${prefix}:accounts`,
    credentialKey: `${prefix}:credential-key`,
    keys: `${prefix}:keys`,
    keysVersion: `${prefix}:keys:version`,
    keysUsed: `${prefix}:keys:used`,
    preferences: (principal) => `${prefix}:preferences:${principal}`,
    auditHeads: `${prefix}:audit:heads`,
    keysDoorbell: `${prefix}:live:keys`,
  };
}
