-- The streams of events: of jobs, and of sessions.

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

-- The stream of a session: the changes of its status, the events of its terminal, and pointers to
-- the events of its jobs. The id of an entry is the seq of its last event in the session. The
-- pointer that still grows is in the session's record: `tailJob` with its events `tailFrom` to
-- `tailTo`.
local function sessionEventsKey(id) return P .. ':sevents:' .. id end
local function hasSession(id) return read(sessionKey(id), 'status').status ~= '' end

-- The end of a session's stream: seq, and the pointer that grows; nil when it has no record.
local function endOf(id)
  local session = read(sessionKey(id), 'status', 'seq', 'tailJob', 'tailFrom', 'tailTo')
  if session.status == '' then return nil end
  session.seq = number(session.seq)
  if not session.seq then
    local last = redis.pcall('XREVRANGE', sessionEventsKey(id), '+', '-', 'COUNT', 1)[1]
    session.seq = last and number(string.match(last[1], '^%d+')) or 0
  end
  return session
end
local function publishSession(id, seq)
  redis.call('HSET', sessionKey(id), 'seq', seq)
  return redis.call('PUBLISH', P .. ':live:s:' .. id, seq)
end

-- Adds the pointer that grew to the stream.
local function endPointer(id, session)
  if session.tailJob == '' then return end
  redis.call('HSET', sessionKey(id), 'tailJob', '')
  if session.seq == 0 then return end
  addEvent(sessionEventsKey(id), session.seq, 'j', session.tailJob, 'f', session.tailFrom,
    'l', session.tailTo)
end

-- Adds a change of its status to the stream of a session with a record. line: of the screen of a
-- terminal; '' for none
local function emitStatus(id, status, reason, line)
  local session = endOf(id)
  endPointer(id, session)
  local fields = { 't', now, 's', status, 'r', reason }
  if line ~= '' then fields = { 't', now, 's', status, 'r', reason, 'm', line } end
  addEvent(sessionEventsKey(id), session.seq + 1, unpack(fields))
  publishSession(id, session.seq + 1)
end

-- Points to events of a job in its session's stream, if the session has a record. Returns how many
-- readers the session has.
local function pointTo(id, jobId, from, to)
  local session = endOf(id)
  if not session or to < from then return 0 end
  if session.tailJob ~= jobId or number(session.tailTo) ~= from - 1 then
    endPointer(id, session)
    redis.call('HSET', sessionKey(id), 'tailJob', jobId, 'tailFrom', from)
  end
  redis.call('HSET', sessionKey(id), 'tailTo', to)
  return publishSession(id, session.seq + to - from + 1)
end

-- Appends events and publishes the last seq to the job's readers. Returns how many readers the job
-- and its session have.
-- events: time, body (JSON), line of the CLI ('' for none) of each event, one after the other.
local function emit(id, attempt, events)
  local key, seq = eventsKey(id), lastSeq(id)
  local first = seq + 1
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
    + pointTo(readJob(id, 'sessionId').sessionId, id, first, seq)
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
    local job = readJob(id, 'node', 'sessionId')
    redis.call('HSET', jobKey(id), 'nativeSessionId', args.nativeSessionId, 'sessionNode', job.node)
    if hasSession(job.sessionId) then
      redis.call('HSET', sessionKey(job.sessionId), 'nativeSessionId', args.nativeSessionId, 'node', job.node)
    end
  end
  return readers
end
