-- The life of a job: how it begins, waits for its next execution, and ends.

-- Ends a job. A finished job never changes again.
local function settle(id, status, outcome)
  local key = jobKey(id)
  local job = readJob(id, 'lanes', 'attempt', 'status', 'kind', 'limits', 'project', 'principal',
    'owner', 'payer')
  forget(id)
  leaveQueued(id, job)
  approvals.leave(id)
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

-- Ends jobs that waited longer than their ttlMs, for a limit longer than their quotaTimeoutMs, or
-- for a person longer than their approvalTimeoutMs: at most `limit`. Returns their ids.
-- outcomes: expired, quota, unanswered (JSON)
local function expire(outcomes, limit)
  local ids = {}
  local due = redis.call('ZRANGEBYSCORE', P .. ':expiries', '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local job = readJob(id, 'status', 'quotaUntil')
    if job.status == 'queued' or job.status == 'scheduled' then
      settle(id, 'failed', withUsage(id, job.quotaUntil == '' and outcomes.expired or outcomes.quota))
      ids[#ids + 1] = id
    elseif job.status == 'waiting' then
      settle(id, 'failed', withUsage(id, outcomes.unanswered))
      ids[#ids + 1] = id
    else
      redis.call('ZREM', P .. ':expiries', id)
    end
  end
  return ids
end

-- How many executions may continue a session for nothing, after an end that no job is to blame for.
local MAX_CONTINUED = 3

-- A scheduled job whose time has come, or one that has waited for a person, waits for its turn.
local function becomeDue(id, attempt)
  redis.call('HSET', jobKey(id), 'status', 'queued', 'scheduledFor', '', 'waitReason', '', 'dueAt', now)
  redis.call('ZREM', P .. ':due', id)
  emit(id, attempt, { now, QUEUED, '' })
  enterLanes(id, readJob(id, 'lanes').lanes)
  if admit(id) then ring('run', id) end
end

-- A job without a process waits for a person until the first of its approvals expires, or goes on
-- when none is pending.
local function waitForAnswers(id, pending, expiresAt, attempt)
  if pending == 0 then
    redis.call('ZREM', P .. ':expiries', id)
    becomeDue(id, attempt)
    return
  end
  redis.call('ZADD', P .. ':expiries', expiresAt, id)
  if readJob(id, 'status').status == 'waiting' then return end
  redis.call('HSET', jobKey(id), 'status', 'waiting', 'waitReason', 'approval', 'scheduledFor', '')
  emit(id, attempt, { now, '{"kind":"job.waiting","waitReason":"approval"}', '' })
end

-- Ends the current execution. The job ends with it ('finished'), or waits for the next
-- ('scheduled'), or for a person ('waiting'). Only executions that failed or were lost count
-- against the job's maxAttempts.
-- ending: status, outcome (JSON), retryable, backoffMs, interrupted (it was lost or the vendor was
--   overloaded), lost; with earlier executions: jobOutcome (JSON, with the usage of all); usage
--   (JSON, of all so far); quotaMs (the job waits for a usage limit, at most this long since the
--   first time); parked (a person has to answer), with the outcomes (JSON) of a job that was to be
--   stopped meanwhile: ifCancelled, ifInterrupted
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
  local failures = number(job.failures, attempt - 1)
  messages.refuseAll(id)
  emit(id, attempt, {
    now,
    '{"kind":"execution.finished","executionId":"' .. executionId .. '","outcome":' .. ending.outcome .. '}',
    '',
  })
  if ending.usage then redis.call('HSET', key, 'usage', ending.usage) end
  -- The execution is over, and the job is not.
  local function leave(as, fields)
    for name, value in pairs(fields) do redis.call('HSET', key, name, value) end
    redis.call('HSET', key, 'ended', executionId, 'endedAs', as, 'executionId', '', 'node', '')
    redis.call('ZREM', P .. ':running', id)
  end
  local pin = job.sessionNode ~= '' and job.sessionNode or job.pin

  -- A person has to answer, or has answered while the process ended.
  if job.cancel == '' and (ending.parked or (ending.lost and continues)) then
    local left = approvals.leftOf(id)
    if ending.parked then approvals.dropOffered(left, attempt) end
    -- A decision that was lost with its execution again and again is no reason to go on.
    local goesOn = #left.unused > 0 and (ending.parked or continued < MAX_CONTINUED)
    if left.pending > 0 or goesOn then
      local counts = left.pending == 0 and not ending.parked
      leave('waiting', { failures = failures, quotaUntil = '', pin = pin,
        continued = continued + (counts and 1 or 0) })
      waitForAnswers(id, left.pending, left.expiresAt, attempt)
      touch(id)
      announce('scheduled', id, readJob(id, 'status').status)
      return 'waiting'
    end
  end

  if failed and not free then failures = failures + 1 end
  local left = free or failures < number(job.maxAttempts, 1)
  if not (limited or (ending.retryable and failed and left and job.cancel == '')) then
    redis.call('HSET', key, 'failures', failures, 'ended', executionId, 'endedAs', 'finished')
    local stopped = ending.parked and job.cancel ~= ''
      and (job.cancel == 'interrupt' and ending.ifInterrupted or ending.ifCancelled)
    settle(id, stopped and 'cancelled' or ending.status, stopped or ending.jobOutcome or ending.outcome)
    return 'finished'
  end
  local due, reason = now + ending.backoffMs, limited and 'quota' or 'backoff'
  leave('scheduled', { failures = failures, status = 'scheduled', waitReason = reason,
    scheduledFor = due, quotaUntil = limited and quotaUntil or '',
    continued = continued + (free and 1 or 0), pin = continues and pin or job.pin })
  redis.call('ZADD', P .. ':due', due, id)
  if limited then redis.call('ZADD', P .. ':expiries', quotaUntil, id) end
  approvals.closeAll(id)
  emit(id, attempt, { now, scheduledEvent(reason, due), '' })
  touch(id)
  announce('scheduled', id, 'scheduled')
  return 'scheduled'
end

-- An approval of a job that waits for a person is over.
local function answered(id)
  local job = readJob(id, 'status', 'attempt')
  if job.status ~= 'waiting' then return end
  local left = approvals.leftOf(id)
  waitForAnswers(id, left.pending, left.expiresAt, number(job.attempt, 0))
  if left.pending == 0 then touch(id) end
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
    'createdAt', job.createdAt, 'order', nextOrder(), 'dueAt', delayed and '' or now,
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
  if job.kind ~= 'raw' then addTurn(id, job.sessionId) end
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
