-- The life of a job: how it begins, waits for its next execution, and ends.

-- Ends a job. A finished job never changes again.
local function settle(id, status, outcome)
  local key = jobKey(id)
  local job = readJob(id, 'lanes', 'attempt', 'status', 'kind', 'limits', 'project', 'principal',
    'owner', 'payer')
  forget(id)
  leaveQueued(id, job)
  redis.call('HSET', key, 'status', status, 'outcome', outcome, 'finishedAt', now, 'waitReason', '',
    'scheduledFor', '', 'given', '')
  -- No worker holds it, so its entry in BullMQ has to be removed.
  if job.status ~= 'running' and job.kind ~= 'raw' then redis.call('ZADD', P .. ':released', now, id) end
  emit(id, number(job.attempt, 0), { now, '{"kind":"job.finished"}', '' })
  touch(id)
  endTurn(id, status, outcome)
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
    'quotaUntil', 'sessionNode', 'retryMode', 'autoContinue', 'continued', 'pin', 'limits')
  -- Another job of its caller may have waited for its end.
  if hasMark(job, 'r') then ring('run', id) end
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
  redis.call('HSET', jobKey(id), 'status', 'queued', 'scheduledFor', '', 'waitReason', '', 'dueAt', now)
  redis.call('ZREM', P .. ':due', id)
  emit(id, attempt, { now, QUEUED, '' })
  enterLanes(id, readJob(id, 'lanes').lanes)
  if admit(id) then ring('run', id) end
end

-- Makes a job, unless it has a record. With an executionId it is submitted to `node` already.
-- job: id, kind, project, principal, grant (JSON), signature, sessionId, request (JSON), score,
--   delayMs, runAt (ms: it is not to begin before, instead of after delayMs), ttlMs, retryOf,
--   pin, lanes (JSON), createdAt, maxAttempts, retryMode, autoContinue ('off'), cwd, provider,
--   model, onQuota, batch
local function createJob(job, executionId, node)
  local id, key = job.id, jobKey(job.id)
  if redis.call('EXISTS', key) == 1 then return end
  local delayed = tonumber(job.delayMs) > 0
  local due = tonumber(job.runAt) or now + job.delayMs
  local deadline = job.ttlMs and due + job.ttlMs or ''
  redis.call('HSET', key, 'kind', job.kind, 'project', job.project, 'principal', job.principal,
    'grant', job.grant or '', 'signature', job.signature or '',
    'sessionId', job.sessionId, 'request', job.request, 'score', job.score,
    'retryOf', job.retryOf or '', 'pin', job.pin or '', 'lanes', job.lanes or '',
    'createdAt', job.createdAt, 'dueAt', delayed and '' or now,
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
  local payer = payerOf(job.principal)
  if payer ~= job.principal then redis.call('HSET', key, 'payer', payer) end
  local marks = enterQueued(id, holdersOf(job.project, payer))
  if marks ~= '' then redis.call('HSET', key, 'limits', marks) end
  local event = delayed and scheduledEvent('delayed', due) or QUEUED
  redis.call('XADD', eventsKey(id), 1, 'a', 0, 't', now, 'e', event)
  redis.call('PUBLISH', P .. ':live:' .. id, 1)
  if job.kind ~= 'raw' then addTurn(id, job.sessionId, job.createdAt) end
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
