-- What scripts share. src/records/script-text.ts puts the definitions that a script uses before it,
-- from this file, events.lua, limits.lua, waiting.lua, sessions.lua, approvals.lua, jobs.lua and
-- gates.lua, which hold nothing else. Constants come first: REQUESTS and RESPONSES (channels),
-- KEEP_MS (how long Redis keeps a finished job, and the log), KEEP_SESSIONS_MS, CHAT_TRANSITIONS,
-- TERMINAL_TRANSITIONS and TURN_ENDS (sessions.lua), DEFAULT_PROJECT, PROJECT_LIMITS and JWT_LIMITS
-- (limits.lua).
--
-- Each script is one atomic step: record, event, log entry and doorbell change together.
-- KEYS[1] is the prefix with its colon. All keys begin with it and carry its hash tag, so they
-- share a slot in a cluster. Times come from Redis, never from a host's clock.
--
-- A script never fails because of what a record holds, since one call may touch many records. A
-- key that is no hash counts as no record, a number that is none has a default, and foreign
-- events are removed.

local P = string.sub(KEYS[1], 1, -2)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- The form of the records. It changes when scripts of both forms must not run on one Redis. Each
-- node says in `versions` which form it uses (JSON: records, version, host). Nodes of form 1 say
-- nothing there.
local RECORDS = 3
local VERSIONS = P .. ':versions'

-- Reads named arguments: a count, then so many pairs of name and value. An argument without a
-- value is not passed and reads as nil. Returns the arguments and the index behind them.
local function namedAt(index)
  local named, last = {}, index + 2 * ARGV[index]
  for i = index + 1, last, 2 do named[ARGV[i]] = ARGV[i + 1] end
  return named, last + 1
end
-- The script's arguments, and the index of the first of its list.
local args, listAt = namedAt(1)

local function jobKey(id) return P .. ':job:' .. id end
local function eventsKey(id) return P .. ':events:' .. id end
local function laneKey(lane) return P .. ':lane:' .. lane end
local function idempotencyKey(key) return P .. ':idem:' .. key end
local function batchKey(id) return P .. ':batch:' .. id end
local function membersKey(id) return P .. ':batch:' .. id .. ':jobs' end
local function sessionKey(id) return P .. ':session:' .. id end
-- Who made a job or batch: `owner` in records from before there were projects.
local function principalOf(record)
  return record.principal ~= '' and record.principal or record.owner
end

local function ring(kind, id)
  redis.call('PUBLISH', REQUESTS, '{"v":1,"type":"' .. kind .. '","jobId":"' .. id .. '"}')
end
local function announce(kind, id, status)
  redis.call('PUBLISH', RESPONSES,
    '{"v":1,"type":"' .. kind .. '","jobId":"' .. id .. '","status":"' .. status .. '"}')
end

local function isFinished(status)
  return status == 'succeeded' or status == 'failed' or status == 'cancelled'
end
local function isError(reply, text)
  return type(reply) == 'table' and reply.err and string.find(reply.err, text, 1, true)
end
-- The number in a text, else `default`.
local function number(text, default)
  return #text < 17 and string.find(text, '^-?%d+$') and tonumber(text) or default
end

-- Fields of a hash by name; '' for a field that is missing.
local function read(key, ...)
  local values = redis.pcall('HMGET', key, ...)
  if isError(values, 'WRONGTYPE') then
    values = {}
  elseif values.err then
    values = redis.call('HMGET', key, ...)
  end
  local names, found = { ... }, {}
  for i = 1, #names do found[names[i]] = values[i] or '' end
  return found
end
-- Fields of a job's record. `status` is '' when there is no record.
local function readJob(id, ...) return read(jobKey(id), ...) end

-- Adds an entry to the log without a doorbell: its kind, what it is about, and pairs of name and
-- value.
local function addToLog(kind, id, ...)
  local log = P .. ':log'
  local entry = { log, 'MINID', '~', now - KEEP_MS, '*', kind, id, ... }
  local reply = redis.pcall('XADD', unpack(entry))
  if type(reply) == 'table' and reply.err then
    -- A foreign entry took the last possible id. A new log begins; every copier notices that.
    if isError(reply, 'exhausted') then redis.call('DEL', log, log .. ':id') end
    redis.call('XADD', unpack(entry))
  end
end
-- The same, and rings for the readers of changes.
local function appendLog(kind, id, ...)
  addToLog(kind, id, ...)
  redis.call('PUBLISH', P .. ':live:log', id)
end
-- Adds to the log ('u') what the script's caller did, for the audit of each node: in the same step
-- as the change itself. A script without args.by was not asked for by a caller, and adds nothing.
-- args.by: the principal, '' for one that is not known; args.byAddress, args.byRequest: where the
-- request came from. details: JSON
local function audit(action, target, project, details)
  if not args.by then return end
  addToLog('u', target, 'k', action, 'o', args.by, 'p', project or '', 'i', args.byAddress or '',
    'q', args.byRequest or '', 'n', details or '')
end
-- Adds a change of a job to the log ('j' changed, 'd' deleted, 'c' changed after its end), with the
-- state that it has now. patch: of a job without a record, what changes in its copies.
-- 'b': a batch was made; it has no state there.
-- Every entry has the same fields in the same order, so Redis stores their names once.
local function note(kind, id, patch)
  local job = readJob(id, 'project', 'sessionId', 'principal', 'owner', 'batch', 'rev', 'status',
    'waitReason', 'scheduledFor', 'attempt', 'cancel')
  local state = { 'p', job.project == '' and DEFAULT_PROJECT or job.project, 's', job.sessionId,
    'o', principalOf(job), 'b', job.batch, 'v', job.rev, 't', job.status, 'w', job.waitReason,
    'f', job.scheduledFor, 'a', job.attempt, 'c', job.cancel }
  if patch then
    state[#state + 1] = 'x'
    state[#state + 1] = patch
  end
  appendLog(kind, id, unpack(state))
end

-- Counts one more revision of a record. An unreadable revision is followed by one newer than any.
local function touch(id, kind)
  redis.call('HSET', jobKey(id), 'rev', number(readJob(id, 'rev').rev, now) + 1)
  note(kind or 'j', id)
end
