-- The records of sessions. A session has a record from POST on, or from its second job on; until
-- then the record of its first job, which has its id, counts as the session's.

-- Its jobs that have not ended, in the order they were made.
local function turnsKey(id) return P .. ':session:' .. id .. ':open' end
-- Its pending approvals, also when it has no record.
local function asksKey(id) return P .. ':session:' .. id .. ':asks' end

-- Messages that were seen in a session, by time.
local MAX_SEEN = 1000
local function seenKey(id) return P .. ':session:' .. id .. ':seen' end
-- Whether a message is new in a session; remembers it.
local function isNewMessage(id, messageId)
  local key = seenKey(id)
  local added = redis.pcall('ZADD', key, 'NX', now, messageId)
  if isError(added, 'WRONGTYPE') then
    redis.call('DEL', key)
    added = redis.call('ZADD', key, now, messageId)
  end
  redis.call('ZREMRANGEBYRANK', key, 0, -MAX_SEEN - 1)
  redis.call('PEXPIRE', key, KEEP_SESSIONS_MS)
  return added == 1
end
-- The terminals that are not over: id → node.
local TERMINALS = P .. ':terminals'

local function isOpenTerminal(kind, status)
  return kind == 'terminal' and status ~= 'closed' and status ~= 'failed'
end

-- Counts one more revision of a session, and adds it to the log ('s'), with its status as the last
-- value. A record is kept while a turn is open or its program runs, and then for KEEP_SESSIONS_MS.
local function touchSession(id)
  local key = sessionKey(id)
  local session = read(key, 'rev', 'project', 'status', 'kind')
  local rev = number(session.rev, now) + 1
  redis.call('HSET', key, 'rev', rev, 'lastActivityAt', now)
  local isOpen = isOpenTerminal(session.kind, session.status)
    or redis.call('EXISTS', turnsKey(id)) == 1
  for _, one in ipairs({ key, sessionEventsKey(id) }) do
    if isOpen then
      redis.call('PERSIST', one)
    else
      redis.call('PEXPIRE', one, KEEP_SESSIONS_MS)
    end
  end
  appendLog('s', id, 'p', session.project, 'k', session.kind, 'v', rev, 't', session.status)
end

-- Numbers of events that the node of a terminal knows of, and Redis has lost, are not used again.
local function skipTo(id, seq)
  if seq > endOf(id).seq then redis.call('HSET', sessionKey(id), 'seq', seq) end
end

-- Moves a session by the table of transitions of its kind. A trigger that its status does not have
-- changes nothing. Returns whether it has moved.
-- reason: code of the error that led to it, or nothing; line: of the screen of a terminal that
-- shows what it waits for, or nothing
local function moveSession(id, trigger, reason, line)
  local key = sessionKey(id)
  local session = read(key, 'kind', 'status', 'statusReason', 'matchedLine')
  local transitions = session.kind == 'terminal' and TERMINAL_TRANSITIONS or CHAT_TRANSITIONS
  local status = (transitions[session.status] or {})[trigger]
  reason, line = reason or '', line or ''
  local isSame = status == session.status and reason == session.statusReason
    and line == session.matchedLine
  if not status or isSame then return false end
  redis.call('HSET', key, 'status', status, 'statusReason', reason, 'matchedLine', line)
  if status == 'closed' then redis.call('HSET', key, 'closedAt', now) end
  if session.kind == 'terminal' and not isOpenTerminal(session.kind, status) then
    redis.call('HDEL', TERMINALS, id)
  end
  emitStatus(id, status, reason, line)
  return true
end

-- The trigger of a job's end, and the code of its error.
local function endOfTurn(status, outcome)
  if status == 'succeeded' then return 'ended', '' end
  local ok, known = pcall(cjson.decode, outcome)
  local err = ok and type(known) == 'table' and known.error
  local code = type(err) == 'table' and type(err.code) == 'string' and err.code or ''
  return TURN_ENDS[code] or 'ended', code
end

-- The options of a job's request that hold for its session, as JSON. What cannot be read here is
-- kept whole: its reader takes the options out.
local SESSION_OPTIONS = { 'provider', 'model', 'effort', 'cwd', 'permissionMode', 'allowedTools',
  'disallowedTools', 'onPermissionDenied', 'appendSystemPrompt' }
local function optionsOf(json)
  local ok, request = pcall(cjson.decode, json)
  if not ok or type(request) ~= 'table' then return json end
  local options = {}
  for _, name in ipairs(SESSION_OPTIONS) do
    if request[name] ~= cjson.null then options[name] = request[name] end
  end
  -- The encoder writes an empty list as {}.
  return (string.gsub(cjson.encode(options), '("[a-z]+Tools":){}', '%1[]'))
end

-- Makes the record of a session from one of its jobs.
local function sessionFrom(id, jobId)
  local job = readJob(jobId, 'project', 'principal', 'owner', 'request', 'createdAt')
  redis.call('DEL', sessionKey(id), sessionEventsKey(id), turnsKey(id))
  redis.call('HSET', sessionKey(id), 'rev', 0, 'kind', 'chat', 'explicit', '', 'name', '',
    'status', 'ready', 'statusReason', '',
    'project', job.project == '' and DEFAULT_PROJECT or job.project, 'principal', principalOf(job),
    'options', optionsOf(job.request), 'signature', '', 'nativeSessionId', '', 'node', '', 'fork', '', 'rules', '', 'turns', 0,
    'seq', 0, 'tailJob', '', 'createdAt', job.createdAt, 'lastActivityAt', now, 'closedAt', '',
    'tags', '', 'metadata', '')
end

-- Makes the record of a session whose first job has none yet. Its events keep their numbers.
local function adoptSession(id)
  local job = readJob(id, 'status', 'outcome', 'nativeSessionId', 'sessionNode', 'attempt')
  local status, reason = 'ready', ''
  if isFinished(job.status) then
    local trigger
    trigger, reason = endOfTurn(job.status, job.outcome)
    status = CHAT_TRANSITIONS.ready[trigger]
  elseif redis.call('EXISTS', asksKey(id)) == 1 then
    status = 'awaiting_input'
  else
    status = number(job.attempt, 0) > 0 and 'busy' or 'starting'
  end
  sessionFrom(id, id)
  redis.call('HSET', sessionKey(id), 'status', status, 'statusReason', reason, 'turns', 1,
    'nativeSessionId', job.nativeSessionId, 'node', job.sessionNode)
  if not isFinished(job.status) then
    redis.call('ZADD', turnsKey(id), orderOf(id), id)
  end
  pointTo(id, id, 1, lastSeq(id))
end

-- Makes the record of a session that has only a first job. Returns whether the session has one now.
local function ensureSession(id)
  if hasSession(id) then return true end
  local first = readJob(id, 'status', 'kind', 'sessionId')
  if first.status == '' or first.kind == 'raw' or (first.sessionId ~= '' and first.sessionId ~= id) then
    return false
  end
  adoptSession(id)
  return true
end

-- Its jobs that have not ended, in order: the one that runs, the one that waits for a person, then
-- the others as they wait for their turns. Also of a session without a record.
local function openTurns(id)
  local ids, known = {}, {}
  local function add(list)
    for _, jobId in ipairs(list) do
      local status = readJob(jobId, 'status').status
      if not known[jobId] and status ~= '' and not isFinished(status) then
        local rank = status == 'running' and 1 or (status == 'waiting' and 2 or 3)
        known[jobId] = { rank = rank, at = #ids }
        ids[#ids + 1] = jobId
      end
    end
  end
  add(redis.call('ZRANGE', laneKey('s:' .. id), 0, -1))
  add(redis.call('ZRANGE', turnsKey(id), 0, -1))
  if not hasSession(id) and readJob(id, 'sessionId').sessionId == id then add({ id }) end
  table.sort(ids, function(a, b)
    local x, y = known[a], known[b]
    if x.rank ~= y.rank then return x.rank < y.rank end
    return x.at < y.at
  end)
  return ids
end

-- Whether a session takes no further job.
local function isClosed(id) return read(sessionKey(id), 'status').status == 'closed' end

-- A new job is the next turn of its session. A session of one job needs no record.
local function addTurn(jobId, id)
  if id == jobId and not hasSession(id) then return end
  if not ensureSession(id) then sessionFrom(id, jobId) end
  redis.call('HINCRBY', sessionKey(id), 'turns', 1)
  redis.call('ZADD', turnsKey(id), orderOf(jobId), jobId)
  pointTo(id, jobId, 1, 1)
  moveSession(id, 'message')
  touchSession(id)
end

-- The CLI works on the turn of a job.
local function startTurn(jobId)
  local id = readJob(jobId, 'sessionId').sessionId
  if not hasSession(id) then return end
  moveSession(id, 'started')
  touchSession(id)
end

-- A job has ended. With further turns its session goes on with those.
local function endTurn(jobId, status, outcome)
  local id = readJob(jobId, 'sessionId').sessionId
  if not hasSession(id) then return end
  redis.call('ZREM', turnsKey(id), jobId)
  if redis.call('EXISTS', turnsKey(id)) == 0 then
    moveSession(id, endOfTurn(status, outcome))
  elseif redis.call('EXISTS', asksKey(id)) == 0 then
    moveSession(id, 'answered')
  end
  touchSession(id)
end

-- An approval of a job is open.
local function askSession(jobId, approvalId)
  local id = readJob(jobId, 'sessionId').sessionId
  if isError(redis.pcall('SADD', asksKey(id), approvalId), 'WRONGTYPE') then
    redis.call('DEL', asksKey(id))
    redis.call('SADD', asksKey(id), approvalId)
  end
  if not hasSession(id) then return end
  moveSession(id, 'asked')
  touchSession(id)
end

-- An approval of a job is no longer open.
local function answerSession(jobId, approvalId)
  local id = readJob(jobId, 'sessionId').sessionId
  redis.pcall('SREM', asksKey(id), approvalId)
  if not hasSession(id) or redis.call('EXISTS', asksKey(id)) == 1 then return end
  moveSession(id, 'answered')
  touchSession(id)
end

-- Adds a rule that a person has given: calls that it covers need no further approval in the
-- session. signature: of the rule; '' for none
local function addSessionRule(id, rule, signature)
  if not ensureSession(id) then return end
  local ok, rules = pcall(cjson.decode, read(sessionKey(id), 'rules').rules)
  if not ok or type(rules) ~= 'table' then rules = {} end
  for at = #rules, 1, -1 do
    if type(rules[at]) == 'table' and rules[at][1] == rule then table.remove(rules, at) end
  end
  rules[#rules + 1] = { rule, signature }
  redis.call('HSET', sessionKey(id), 'rules', cjson.encode(rules))
  touchSession(id)
end
