/** The scripts that make jobs: one by one, and by the batch. */
import { JOB_FIELDS } from './record-codec.ts';

/**
 * createJob(o): makes the job in ARGV[o + 1 …], unless its record is there. The fields: id, kind, principal,
 * request, score, delayMs, ttlMs, retryOf, pin, lanes, createdAt, maxAttempts, cwd, provider, batch, project, sessionId.
 */
const CREATE_JOB = `
local function createJob(o)
  local id, k = ARGV[o + 1], jobKey(ARGV[o + 1])
  if redis.call('EXISTS', k) == 1 then return end
  local delay, ttl, lanes = tonumber(ARGV[o + 6]), ARGV[o + 7], ARGV[o + 10]
  local due = now + delay
  local status, reason, scheduled, body, deadline = 'queued', '', '', '{"kind":"job.queued"}', ''
  if delay > 0 then
    status, reason, scheduled = 'scheduled', 'delayed', due
    body = '{"kind":"job.scheduled","waitReason":"delayed","scheduledFor":' .. string.format('%.0f', due) .. '}'
  end
  if ttl ~= '' then
    deadline = due + ttl
    redis.call('ZADD', P .. ':expiries', deadline, id)
  end
  redis.call('HSET', k, 'kind', ARGV[o + 2], 'principal', ARGV[o + 3], 'request', ARGV[o + 4], 'score', ARGV[o + 5],
    'retryOf', ARGV[o + 8], 'pin', ARGV[o + 9], 'lanes', lanes, 'createdAt', ARGV[o + 11],
    'maxAttempts', ARGV[o + 12], 'status', status, 'waitReason', reason, 'scheduledFor', scheduled, 'attempt', 0,
    'executionId', '', 'node', '', 'cancel', '', 'seq', 1, 'rev', 1, 'appended', 0, 'startedAt', '',
    'finishedAt', '', 'outcome', '', 'deadline', deadline, 'cwd', ARGV[o + 13], 'provider', ARGV[o + 14],
    'batch', ARGV[o + 15], 'project', ARGV[o + 16], 'sessionId', ARGV[o + 17], 'failures', 0)
  redis.call('ZADD', P .. ':awaiting', due + 15000, id)
  if delay == 0 and lanes ~= '' then enterLanes(id, lanes) end
  redis.call('XADD', eventsKey(id), 1, 'a', 0, 't', now, 'e', body)
  redis.call('PUBLISH', P .. ':live:' .. id, 1)
  note('j', id, ARGV[o + 16], ARGV[o + 17])
end
`;

/** the fields of the job, then idemKey, print, idemMs, id of a deleted job whose place it takes */
export const CREATE = `${CREATE_JOB}
local key = ARGV[${JOB_FIELDS + 1}]
if key ~= '' then
  local idem = P .. ':idem:' .. key
  local prior = fieldsAt(idem, 'job', 'print')
  if prior[1] then
    if prior[2] ~= ARGV[${JOB_FIELDS + 2}] then return { 'mismatch' } end
    if prior[1] ~= ARGV[${JOB_FIELDS + 4}] then return { 'replayed', prior[1] } end
  end
  redis.call('DEL', idem)
  redis.call('HSET', idem, 'job', ARGV[1], 'print', ARGV[${JOB_FIELDS + 2}])
  redis.call('PEXPIRE', idem, ARGV[${JOB_FIELDS + 3}])
end
createJob(0)
return { 'created' }
`;

const BATCH_KEYS = `
local function batchKey(id) return P .. ':batch:' .. id end
local function membersKey(id) return P .. ':batch:' .. id .. ':jobs' end
`;

/** idemKey, print */
export const RECALL = `${BATCH_KEYS}
local prior = fieldsAt(P .. ':idem:' .. ARGV[1], 'job', 'print')
if not prior[1] then return {} end
if prior[2] ~= ARGV[2] then return { 'mismatch' } end
local entries = fieldsAt(batchKey(prior[1]), 'entries')[1] or ''
return { 'replayed', prior[1], entries, redis.call('LLEN', membersKey(prior[1])) }
`;

/** id, principal, createdAt, entries (JSON), idemKey, print, idemMs, project */
export const BATCH_OPEN = `${BATCH_KEYS}
local id = ARGV[1]
if ARGV[5] ~= '' then
  local idem = P .. ':idem:' .. ARGV[5]
  local prior = fieldsAt(idem, 'job', 'print')
  if prior[1] then
    if prior[2] ~= ARGV[6] then return { 'mismatch' } end
    local entries = fieldsAt(batchKey(prior[1]), 'entries')[1]
    if entries then return { 'replayed', prior[1], entries, redis.call('LLEN', membersKey(prior[1])) } end
  end
  redis.call('DEL', idem)
  redis.call('HSET', idem, 'job', id, 'print', ARGV[6])
  redis.call('PEXPIRE', idem, ARGV[7])
end
redis.call('HSET', batchKey(id), 'project', ARGV[8], 'principal', ARGV[2], 'createdAt', ARGV[3], 'entries', ARGV[4])
redis.call('PEXPIRE', batchKey(id), math.max(KEEP, tonumber(ARGV[7])))
return { 'created' }
`;

/** id, from, then the fields of each job */
export const BATCH_ADD = `${BATCH_KEYS}${CREATE_JOB}
local members = membersKey(ARGV[1])
local left = redis.call('PTTL', batchKey(ARGV[1]))
local from, there = tonumber(ARGV[2]), redis.call('LLEN', members)
if left < 0 or from > there then return 0 end
for o = 2 + (there - from) * ${JOB_FIELDS}, #ARGV - 1, ${JOB_FIELDS} do
  createJob(o)
  redis.call('RPUSH', members, ARGV[o + 1])
end
redis.call('PEXPIRE', members, left)
return 1
`;

/** id */
export const BATCH_READ = `${BATCH_KEYS}
local b = redis.call('HMGET', batchKey(ARGV[1]), 'createdAt', 'project', 'principal', 'owner')
if not b[1] then return {} end
local ids = redis.call('LRANGE', membersKey(ARGV[1]), 0, -1)
local states = {}
for i, id in ipairs(ids) do states[i] = fields(id, 'status')[1] or '' end
return { b[2] or DEFAULT_PROJECT, b[3] or b[4] or '', b[1], ids, states }
`;
