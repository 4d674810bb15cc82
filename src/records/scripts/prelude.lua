-- What every script begins with. src/records/script-runner.ts puts this file before each script,
-- and these constants before this file: REQUESTS and RESPONSES (channels), KEEP_MS (how long
-- Redis keeps a finished job, and the log), DEFAULT_PROJECT.
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
local RECORDS = 2
local VERSIONS = P .. ':versions'

-- How long a job stays behind another one of its lane before SWEEP looks whether that vanished.
local PARKED_MS = 15000

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
-- Who made a job or batch: `owner` in records from before there were projects.
local function principalOf(record)
  return record.principal ~= '' and record.principal or record.owner
end

-- Ready jobs are in queues by project, principal, provider, the only node that may run them (''
-- for any node), and whether they fail at a usage limit ('fail') or wait for its end. The set
-- `ready` has the names of the queues that are not empty.
local function readyKey(name) return P .. ':ready:' .. name end
-- Jobs that a node may claim, or may when BullMQ has delivered them.
local function givenKey(node) return P .. ':given:' .. node end

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

-- The ready queue of a job.
local function readyName(id)
  local job = readJob(id, 'project', 'principal', 'owner', 'provider', 'pin', 'onQuota')
  local project = job.project == '' and DEFAULT_PROJECT or job.project
  local onQuota = job.onQuota == 'fail' and 'fail' or ''
  return cjson.encode({ project, principalOf(job), job.provider, job.pin, onQuota })
end

-- Adds an entry to the log: its kind, what it is about, and pairs of name and value.
local function appendLog(kind, id, ...)
  local log = P .. ':log'
  local entry = { log, 'MINID', '~', now - KEEP_MS, '*', kind, id, ... }
  local reply = redis.pcall('XADD', unpack(entry))
  if type(reply) == 'table' and reply.err then
    -- A foreign entry took the last possible id. A new log begins; every copier notices that.
    if isError(reply, 'exhausted') then redis.call('DEL', log, log .. ':id') end
    redis.call('XADD', unpack(entry))
  end
  redis.call('PUBLISH', P .. ':live:log', id)
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

-- Adds an event to a stream under its seq. Foreign entries from there on are removed.
local function addEvent(key, seq, ...)
  local reply = redis.pcall('XADD', key, seq, ...)
  if type(reply) ~= 'table' or not reply.err then return end
  if isError(reply, 'WRONGTYPE') then
    redis.call('DEL', key)
  elseif isError(reply, 'equal or smaller') then
    repeat
      local foreign = redis.call('XRANGE', key, seq, '+', 'COUNT', 1000)
      for _, entry in ipairs(foreign) do redis.call('XDEL', key, entry[1]) end
    until #foreign < 1000
    redis.call('XSETID', key, string.format('%.0f-18446744073709551615', seq - 1))
  end
  redis.call('XADD', key, seq, ...)
end

local function lastSeq(id)
  local seq = number(readJob(id, 'seq').seq)
  if seq then return seq end
  local last = redis.pcall('XREVRANGE', eventsKey(id), '+', '-', 'COUNT', 1)[1]
  return last and number(string.match(last[1], '^%d+')) or 0
end

-- Appends events and publishes the last seq to the job's readers. Returns how many readers it has.
-- events: time, body (JSON), line of the CLI ('' for none) of each event, one after the other.
local function emit(id, attempt, events)
  local key, seq = eventsKey(id), lastSeq(id)
  for i = 1, #events, 3 do
    seq = seq + 1
    if events[i + 2] == '' then
      addEvent(key, seq, 'a', attempt, 't', events[i], 'e', events[i + 1])
    else
      addEvent(key, seq, 'a', attempt, 't', events[i], 'e', events[i + 1], 'r', events[i + 2])
    end
  end
  redis.call('HSET', jobKey(id), 'seq', seq)
  return redis.call('PUBLISH', P .. ':live:' .. id, seq)
end
local QUEUED = '{"kind":"job.queued"}'
local function scheduledEvent(reason, due)
  return '{"kind":"job.scheduled","waitReason":"' .. reason .. '","scheduledFor":'
    .. string.format('%.0f', due) .. '}'
end

-- Appends the events in the script's list of arguments as number `from`… of the current
-- execution, and skips those that were appended before. Returns how many readers the job has.
-- args.nativeSessionId: the session that the CLI has begun, according to these events.
local function appendList(id, attempt, from)
  if listAt > #ARGV then return 0 end
  local appended = number(readJob(id, 'appended').appended, from)
  local events = {}
  for i = listAt + math.max(0, appended - from) * 3, #ARGV do events[#events + 1] = ARGV[i] end
  if #events == 0 then return 0 end
  local readers = emit(id, attempt, events)
  redis.call('HSET', jobKey(id), 'appended', from + (#ARGV - listAt + 1) / 3)
  if args.nativeSessionId then
    redis.call('HSET', jobKey(id), 'nativeSessionId', args.nativeSessionId,
      'sessionNode', readJob(id, 'node').node)
  end
  return readers
end

-- Lanes: jobs of one session, or of one concurrency key, run one at a time.
local function lanesOf(text)
  local lanes = {}
  if text == '' then return lanes end
  local ok, list = pcall(cjson.decode, text)
  if not ok or type(list) ~= 'table' then return lanes end
  for _, lane in ipairs(list) do
    if type(lane) == 'string' then lanes[#lanes + 1] = lane end
  end
  return lanes
end

-- The gates that are closed now, except those of credentials: a gate is a record with a reason and
-- a time, and keeps jobs from being let through.
local function closedGates()
  local closed, all = {}, redis.pcall('HGETALL', P .. ':gates')
  for i = 1, all.err and 0 or #all, 2 do
    local ok, gate = pcall(cjson.decode, all[i + 1])
    local endsAt = ok and type(gate) == 'table' and (gate['until'] or math.huge)
    if endsAt and (type(endsAt) ~= 'number' or endsAt > now) then closed[all[i]] = true end
  end
  return closed
end
-- Whether a gate that concerns this job is closed.
local function isHeld(closed, node, project, provider)
  return closed.queue or closed['node:' .. node] or closed['project:' .. project]
    or closed['provider:' .. provider]
end

-- The first job in a lane. Jobs that ended or have no record are removed from it.
local function headOf(lane)
  while true do
    local head = redis.call('ZRANGE', laneKey(lane), 0, 0)[1]
    if not head then return nil end
    local status = readJob(head, 'status').status
    if status ~= '' and not isFinished(status) then return head end
    redis.call('ZREM', laneKey(lane), head)
  end
end

-- Enters a job into its lanes; a job that is in one already keeps its place.
local function enterLanes(id, lanes)
  if lanes == '' then return end
  local createdAt = number(readJob(id, 'createdAt').createdAt, now)
  for _, lane in ipairs(lanesOf(lanes)) do
    redis.call('ZADD', laneKey(lane), 'NX', createdAt, id)
  end
end

-- A session has the id of its first job. That job is in no lane of the session until another job
-- follows it: then it goes first.
local function enterFirst(sessionId)
  local first, lane = readJob(sessionId, 'status', 'lanes'), 's:' .. sessionId
  if first.status == '' or isFinished(first.status) then return end
  if redis.call('ZSCORE', laneKey(lane), sessionId) then return end
  local lanes = lanesOf(first.lanes)
  lanes[#lanes + 1] = lane
  redis.call('HSET', jobKey(sessionId), 'lanes', cjson.encode(lanes))
  redis.call('ZADD', laneKey(lane), 0, sessionId)
end

-- Makes a queued job ready, unless another job is ahead of it in a lane: then it is parked.
-- Returns true when it is ready.
local function admit(id)
  local job = readJob(id, 'lanes', 'pin', 'score', 'waitReason', 'sessionId')
  local lanes = lanesOf(job.lanes)
  for _, lane in ipairs(lanes) do
    if headOf(lane) ~= id then
      local reason = string.sub(lane, 1, 2) == 's:' and 'session' or 'concurrency_key'
      redis.call('HSET', jobKey(id), 'waitReason', reason)
      redis.call('ZADD', P .. ':parked', now + PARKED_MS, id)
      return false
    end
  end
  -- With score 0 it holds the lane, even when an older job enters later: a delayed job, or one of
  -- a host whose clock is behind.
  for _, lane in ipairs(lanes) do redis.call('ZADD', laneKey(lane), 0, id) end
  if job.waitReason ~= '' then redis.call('HSET', jobKey(id), 'waitReason', '') end
  -- Its session may have begun since it was made: only that node has the session.
  if job.pin == '' and job.sessionId ~= '' and job.sessionId ~= id then
    job.pin = readJob(job.sessionId, 'sessionNode').sessionNode
    redis.call('HSET', jobKey(id), 'pin', job.pin)
  end
  redis.call('ZREM', P .. ':parked', id)
  local name = readyName(id)
  redis.call('SADD', P .. ':ready', name)
  redis.call('ZADD', readyKey(name), number(job.score, now), id)
  if job.pin ~= '' then redis.call('ZADD', P .. ':pinned', 'NX', now, id) end
  return true
end

-- Removes a job from its lanes and admits the next job of each.
local function leaveLanes(id, text)
  local lanes = lanesOf(text)
  for _, lane in ipairs(lanes) do redis.call('ZREM', laneKey(lane), id) end
  for _, lane in ipairs(lanes) do
    local head = headOf(lane)
    local job = head and readJob(head, 'status', 'waitReason')
    if job and job.status == 'queued' and job.waitReason ~= '' then
      if admit(head) then ring('run', head) end
      touch(head) -- its waitReason may have changed to another lane's
    end
  end
end

local function leaveReady(id)
  local name = readyName(id)
  redis.call('ZREM', readyKey(name), id)
  if redis.call('EXISTS', readyKey(name)) == 0 then redis.call('SREM', P .. ':ready', name) end
end

-- Removes a job from every set of jobs that wait or run.
local function forget(id)
  leaveReady(id)
  redis.call('ZREM', givenKey(readJob(id, 'given').given), id)
  for _, set in ipairs({ ':pinned', ':parked', ':due', ':running', ':expiries', ':released' }) do
    redis.call('ZREM', P .. set, id)
  end
end

-- Lets a ready job through to a node. BullMQ has to deliver it now.
local function give(id, node)
  leaveReady(id)
  redis.call('HSET', jobKey(id), 'given', node)
  redis.call('ZADD', givenKey(node), redis.call('HINCRBY', P .. ':turns', '', 1), id)
  redis.call('ZADD', P .. ':released', now, id)
end

-- A node with free slots claims at each sweep. What it said counts for so long.
local SLOTS_MS = 10000
-- What a node had free when it claimed last: {at (ms), free, room (free slots by provider), roots,
-- closed (gates)}; nil when it takes no jobs, or is silent.
local function slotsOf(node)
  local ok, slots = pcall(cjson.decode, read(P .. ':slots', node)[node])
  local isThere = ok and type(slots) == 'table' and tonumber(slots.at) and tonumber(slots.free)
  return isThere and slots.at > now - SLOTS_MS and slots or nil
end
local function nodesWithSlots()
  local nodes = redis.call('HKEYS', P .. ':slots')
  table.sort(nodes) -- a hash has no order
  return nodes
end
local function saveSlots(node, slots) redis.call('HSET', P .. ':slots', node, cjson.encode(slots)) end

-- An execution of a node has ended. The next claim corrects the count.
local function freeSlot(node, provider)
  local slots = slotsOf(node)
  if not slots then return end
  slots.free = slots.free + 1
  if slots.room[provider] then slots.room[provider] = slots.room[provider] + 1 end
  saveSlots(node, slots)
end

-- Takes a job back from the node that it was given to: it is ready again.
local function takeBack(id)
  local job = readJob(id, 'given')
  redis.call('ZREM', givenKey(job.given), id)
  redis.call('ZREM', P .. ':released', id)
  redis.call('HSET', jobKey(id), 'given', '', 'executionId', '')
  if admit(id) then ring('run', id) end
  touch(id)
end

-- A node takes no more jobs: those that it was given and has not claimed are ready again. A raw
-- one stays, because BullMQ does not know it.
local function takeBackFrom(node)
  redis.call('HDEL', P .. ':slots', node)
  for _, id in ipairs(redis.call('ZRANGE', givenKey(node), 0, -1)) do
    local job = readJob(id, 'status', 'given', 'kind')
    if job.status ~= 'queued' or job.given ~= node then
      redis.call('ZREM', givenKey(node), id)
    elseif job.kind ~= 'raw' then
      takeBack(id)
    end
  end
end

-- Ends a job. A finished job never changes again.
local function settle(id, status, outcome)
  local key, job = jobKey(id), readJob(id, 'lanes', 'attempt', 'status', 'kind')
  forget(id)
  redis.call('HSET', key, 'status', status, 'outcome', outcome, 'finishedAt', now, 'waitReason', '',
    'scheduledFor', '', 'given', '')
  -- No worker holds it, so its entry in BullMQ has to be removed.
  if job.status ~= 'running' and job.kind ~= 'raw' then redis.call('ZADD', P .. ':released', now, id) end
  emit(id, number(job.attempt, 0), { now, '{"kind":"job.finished"}', '' })
  touch(id)
  redis.call('PEXPIRE', key, KEEP_MS)
  redis.call('PEXPIRE', eventsKey(id), KEEP_MS)
  leaveLanes(id, job.lanes)
  announce('finished', id, status)
end

-- What the job's executions have used so far, put into an outcome of a job that no CLI made: its
-- own text for "usage" is null.
local function withUsage(id, outcome)
  local usage = readJob(id, 'usage').usage
  if usage == '' then return outcome end
  return (string.gsub(outcome, '"usage":null', function() return '"usage":' .. usage end, 1))
end

-- Ends jobs that waited longer than their ttlMs, or for a limit longer than their quotaTimeoutMs:
-- at most `limit`. Returns their ids.
local function expire(expired, quota, limit)
  local ids = {}
  local due = redis.call('ZRANGEBYSCORE', P .. ':expiries', '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local job = readJob(id, 'status', 'quotaUntil')
    if job.status == 'queued' or job.status == 'scheduled' then
      settle(id, 'failed', withUsage(id, job.quotaUntil == '' and expired or quota))
      ids[#ids + 1] = id
    else
      redis.call('ZREM', P .. ':expiries', id)
    end
  end
  return ids
end

-- How many executions may continue a session for nothing, after an end that no job is to blame for.
local MAX_CONTINUED = 3

-- Ends the current execution. The job ends with it ('finished'), or waits for the next
-- ('scheduled'). Only executions that failed or were lost count against the job's maxAttempts.
-- ending: status, outcome (JSON), retryable, backoffMs, interrupted (it was lost or the vendor was
--   overloaded); with earlier executions: jobOutcome (JSON, with the usage of all); usage (JSON, of
--   all so far); quotaMs (the job waits for a usage limit, at most this long since the first time)
local function endExecution(id, executionId, ending)
  local key, job = jobKey(id), readJob(id, 'attempt', 'maxAttempts', 'cancel', 'failures',
    'quotaUntil', 'sessionNode', 'retryMode', 'autoContinue', 'continued', 'pin')
  local attempt = number(job.attempt, 1)
  local quotaMs = ending.quotaMs
  local quotaUntil = quotaMs and number(job.quotaUntil, now + quotaMs)
  local limited = quotaMs and job.cancel == '' and quotaUntil > now
  local failed = ending.status == 'failed' and not limited
  -- The next execution continues the CLI's session, which only that node has.
  local continues = job.sessionNode ~= '' and job.retryMode ~= 'restart'
  local continued = number(job.continued, 0)
  local free = failed and continues and ending.interrupted and job.autoContinue ~= 'off'
    and continued < MAX_CONTINUED
  -- A record from before failures were counted: each execution before this one failed.
  local failures = number(job.failures, attempt - 1) + ((failed and not free) and 1 or 0)
  local left = free or failures < number(job.maxAttempts, 1)
  local again = limited or (ending.retryable and failed and left and job.cancel == '')
  emit(id, attempt, {
    now,
    '{"kind":"execution.finished","executionId":"' .. executionId .. '","outcome":' .. ending.outcome .. '}',
    '',
  })
  if ending.usage then redis.call('HSET', key, 'usage', ending.usage) end
  if not again then
    redis.call('HSET', key, 'failures', failures, 'ended', executionId, 'endedAs', 'finished')
    settle(id, ending.status, ending.jobOutcome or ending.outcome)
    return 'finished'
  end
  local due, reason = now + ending.backoffMs, limited and 'quota' or 'backoff'
  redis.call('HSET', key, 'failures', failures, 'ended', executionId, 'endedAs', 'scheduled',
    'status', 'scheduled', 'waitReason', reason, 'scheduledFor', due, 'executionId', '',
    'node', '', 'quotaUntil', limited and quotaUntil or '',
    'continued', continued + (free and 1 or 0), 'pin', continues and job.sessionNode or job.pin)
  redis.call('ZREM', P .. ':running', id)
  redis.call('ZADD', P .. ':due', due, id)
  if limited then redis.call('ZADD', P .. ':expiries', quotaUntil, id) end
  emit(id, attempt, { now, scheduledEvent(reason, due), '' })
  touch(id)
  announce('scheduled', id, 'scheduled')
  return 'scheduled'
end

-- A scheduled job whose time has come waits for its turn.
local function becomeDue(id, attempt)
  redis.call('HSET', jobKey(id), 'status', 'queued', 'scheduledFor', '', 'waitReason', '')
  redis.call('ZREM', P .. ':due', id)
  emit(id, attempt, { now, QUEUED, '' })
  enterLanes(id, readJob(id, 'lanes').lanes)
  if admit(id) then ring('run', id) end
end

-- Makes a job, unless it has a record. With an executionId it is submitted to `node` already.
-- job: id, kind, project, principal, sessionId, request (JSON), score, delayMs, runAt (ms: it is
--   not to begin before, instead of after delayMs), ttlMs, retryOf,
--   pin, lanes (JSON), createdAt, maxAttempts, retryMode, autoContinue ('off'), cwd, provider,
--   model, onQuota, batch
local function createJob(job, executionId, node)
  local id, key = job.id, jobKey(job.id)
  if redis.call('EXISTS', key) == 1 then return end
  local delayed = tonumber(job.delayMs) > 0
  local due = tonumber(job.runAt) or now + job.delayMs
  local deadline = job.ttlMs and due + job.ttlMs or ''
  redis.call('HSET', key, 'kind', job.kind, 'project', job.project, 'principal', job.principal,
    'sessionId', job.sessionId, 'request', job.request, 'score', job.score,
    'retryOf', job.retryOf or '', 'pin', job.pin or '', 'lanes', job.lanes or '',
    'createdAt', job.createdAt,
    'maxAttempts', job.maxAttempts, 'retryMode', job.retryMode or '',
    'autoContinue', job.autoContinue or '', 'cwd', job.cwd, 'provider', job.provider,
    'model', job.model or '', 'onQuota', job.onQuota or '',
    'batch', job.batch or '',
    'status', delayed and 'scheduled' or 'queued', 'waitReason', delayed and 'delayed' or '',
    'scheduledFor', delayed and due or '', 'deadline', deadline, 'attempt', 0, 'failures', 0,
    'executionId', executionId or '', 'given', node or '', 'node', '', 'cancel', '', 'seq', 1, 'rev', 1, 'appended', 0,
    'startedAt', '', 'finishedAt', '', 'outcome', '')
  if deadline ~= '' then redis.call('ZADD', P .. ':expiries', deadline, id) end
  if job.sessionId ~= id then enterFirst(job.sessionId) end
  if delayed then redis.call('ZADD', P .. ':due', due, id) end
  local event = delayed and scheduledEvent('delayed', due) or QUEUED
  redis.call('XADD', eventsKey(id), 1, 'a', 0, 't', now, 'e', event)
  redis.call('PUBLISH', P .. ':live:' .. id, 1)
  if not executionId and not delayed then
    enterLanes(id, job.lanes or '')
    admit(id)
  end
  note('j', id)
end

-- The job or batch of an idempotency key, and its fingerprint; both '' for a new key.
local function remembered(key) return read(idempotencyKey(key), 'job', 'print') end
local function remember(key, id, fingerprint, forMs)
  local idem = idempotencyKey(key)
  redis.call('DEL', idem)
  redis.call('HSET', idem, 'job', id, 'print', fingerprint)
  redis.call('PEXPIRE', idem, forMs)
end

-- Which pending jobs a node may run. roots: nil allows every folder.
local function rootsOf(text) return text and cjson.decode(text) or nil end
local function mayRun(node, roots, cwd, pin)
  if not roots or pin == node then return true end
  for _, root in ipairs(roots) do
    if root == '/' or cwd == root then return true end
    if string.sub(cwd, 1, #root + 1) == root .. '/' then return true end
  end
  return false
end
-- Sorts {id, score} by score, then id.
local function bestFirst(a, b) if a[2] == b[2] then return a[1] < b[1] end return a[2] < b[2] end
