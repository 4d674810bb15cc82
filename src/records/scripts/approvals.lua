-- Approvals: what a running job asks of a person. docs/protocol.md ("Approvals") has their states.
--
-- `approval:<id>` is a hash: job, session, project, callId, kind, tool, input, questions (both
-- JSON), asked (signature), createdAt, expiresAt, status, rev; waits ('held' in a process,
-- 'deferred' in the session of the CLI, 'granted': the CLI may make the call again); once decided:
-- decision (JSON), scope, signature, decidedBy, decidedAt, attempt (executions of the job until
-- then); used (the execution that has the decision, and the call of TAKE that got it).
-- `approvals` has those that are pending, by expiry. `approvals:<jobId>` is a hash of the CLI's ids
-- of calls → ids. `unanswered:<sessionId>` is a set of those that were over before the CLI had an
-- answer to a call that waits in its session.

local PENDING = P .. ':approvals'
-- How long Redis keeps approvals without an answer.
local UNANSWERED_MS = 30 * 86400000

local approvals = {}
function approvals.key(id) return P .. ':approval:' .. id end
function approvals.ofKey(jobId) return P .. ':approvals:' .. jobId end
function approvals.unansweredKey(sessionId) return P .. ':unanswered:' .. sessionId end
function approvals.read(id, ...) return read(approvals.key(id), ...) end

-- The ids of a job's approvals, oldest first.
function approvals.idsOf(jobId)
  local ids = redis.pcall('HVALS', approvals.ofKey(jobId))
  if ids.err then return {} end
  table.sort(ids)
  return ids
end

-- Adds a change of an approval to the log ('q').
function approvals.touch(id)
  local approval = approvals.read(id, 'project', 'session', 'job', 'status', 'rev')
  redis.call('HSET', approvals.key(id), 'rev', number(approval.rev, 0) + 1)
  appendLog('q', id, 'p', approval.project, 's', approval.session, 'j', approval.job,
    't', approval.status)
end

-- Adds to the events of its job how an approval ended. by: the principal who decided
function approvals.emitEnd(id, jobId, status, by)
  emit(jobId, number(readJob(jobId, 'attempt').attempt, 0), {
    now,
    '{"kind":"approval.decided","approvalId":"' .. id .. '","status":"' .. status
      .. '","decidedBy":' .. (by and cjson.encode(by) or 'null') .. '}',
    '',
  })
end

-- What is left of a job's approvals: how many are pending or have expired, and when the first of
-- them expires (ms); the ids of those whose decision the CLI was not given.
function approvals.leftOf(jobId)
  local left = { pending = 0, expiresAt = math.huge, unused = {} }
  for _, id in ipairs(approvals.idsOf(jobId)) do
    local approval = approvals.read(id, 'status', 'used', 'expiresAt')
    if approval.status == 'pending' or approval.status == 'expired' then
      left.pending = left.pending + 1
      left.expiresAt = math.min(left.expiresAt, number(approval.expiresAt, now))
    elseif (approval.status == 'allowed' or approval.status == 'denied') and approval.used == '' then
      left.unused[#left.unused + 1] = id
    end
  end
  return left
end

-- The executor reports a decision to the model at once, or after the call that waits in the
-- session. A CLI that has ended so often without taking it will not.
local MAX_OFFERS = 3
function approvals.dropOffered(left, attempt)
  local kept = {}
  for _, id in ipairs(left.unused) do
    if number(approvals.read(id, 'attempt').attempt, 0) + MAX_OFFERS <= attempt then
      redis.call('HSET', approvals.key(id), 'used', 'offered')
    else
      kept[#kept + 1] = id
    end
  end
  left.unused = kept
end

-- The CLI has no answer to a call that waits in its session: it gets a denial there.
function approvals.leaveUnanswered(id)
  local approval = approvals.read(id, 'session', 'waits', 'used')
  if approval.waits ~= 'deferred' or approval.used ~= '' then return end
  local key = approvals.unansweredKey(approval.session)
  if isError(redis.pcall('SADD', key, id), 'WRONGTYPE') then
    redis.call('DEL', key)
    redis.call('SADD', key, id)
  end
  redis.call('PEXPIRE', key, UNANSWERED_MS)
  redis.call('PEXPIRE', approvals.key(id), UNANSWERED_MS)
end

-- Ends a pending approval without a decision.
function approvals.close(id, status)
  local approval = approvals.read(id, 'job', 'session')
  redis.call('ZREM', PENDING, id)
  redis.call('HSET', approvals.key(id), 'status', status)
  approvals.touch(id)
  redis.pcall('SREM', asksKey(approval.session), id)
  if redis.call('EXISTS', jobKey(approval.job)) == 1 then
    approvals.emitEnd(id, approval.job, status)
  end
end

-- Ends the pending approvals of a job. ends: the job ends, too, and with it the turn of its session
function approvals.closeAll(jobId, ends)
  for _, id in ipairs(approvals.idsOf(jobId)) do
    local approval = approvals.read(id, 'status', 'expiresAt')
    if approval.status == 'pending' then
      local expired = ends and number(approval.expiresAt, now) <= now
      approvals.close(id, expired and 'expired' or 'cancelled')
      approvals.leaveUnanswered(id)
      if not ends then answerSession(jobId, id) end
    end
  end
end

-- A job ends: its approvals are kept as long as its record.
function approvals.leave(jobId)
  approvals.closeAll(jobId, true)
  for _, id in ipairs(approvals.idsOf(jobId)) do
    redis.call('PEXPIRE', approvals.key(id), KEEP_MS)
    approvals.leaveUnanswered(id)
  end
  redis.call('PEXPIRE', approvals.ofKey(jobId), KEEP_MS)
end

-- A job is deleted: its approvals are, too, except those that its session still needs.
function approvals.remove(jobId)
  for _, id in ipairs(approvals.idsOf(jobId)) do
    local session = approvals.read(id, 'session').session
    if redis.pcall('SISMEMBER', approvals.unansweredKey(session), id) ~= 1 then
      redis.call('DEL', approvals.key(id))
    end
  end
  redis.call('DEL', approvals.ofKey(jobId))
end

-- A session is deleted: nothing will resume it.
function approvals.removeUnanswered(sessionId)
  local key = approvals.unansweredKey(sessionId)
  local ids = redis.pcall('SMEMBERS', key)
  for _, id in ipairs(ids.err and {} or ids) do redis.call('DEL', approvals.key(id)) end
  redis.call('DEL', key)
end

-- Messages into the running turn of a job: `messages:<jobId>` is a hash of ids → '<n> <text>'
-- until a node takes it, then 'taken', 'steered' or 'refused'; and '' → the last n.
local messages = {}
function messages.key(jobId) return P .. ':messages:' .. jobId end
-- What became of a message: 'gone', 'sent', or as above.
function messages.stateOf(jobId, id)
  local state = read(messages.key(jobId), id)[id]
  if state == '' then return 'gone' end
  return string.find(state, '^%d+ ') and 'sent' or state
end
-- The execution ends: what it has not taken is in no turn.
function messages.refuseAll(jobId)
  local all = redis.pcall('HGETALL', messages.key(jobId))
  for i = 1, all.err and 0 or #all, 2 do
    if string.find(all[i + 1], '^%d+ ') then
      redis.call('HSET', messages.key(jobId), all[i], 'refused')
      announce('talk', jobId, 'refused')
    end
  end
end
