/**
 * What every script starts with. One record per job, changed only here, and each change is one atomic step:
 * the record, its event, the log entry and the doorbell together.
 *
 * Keys are built from the prefix (`KEYS[1]`, with its colon), which carries the one hash tag of all keys: legal in a
 * cluster because they share its slot. Times come from Redis, never from a host's clock.
 *
 * A script never fails for what a record holds, since it may be about many: a key that is no record is as good as none, a
 * number that is none has a default, and an entry that is not ours makes way.
 */
import { DEFAULT_PROJECT } from '../protocol/job.ts';

export interface ScriptSettings {
  readonly requestChannel: string;
  readonly responseChannel: string;
  /** How long Redis keeps a finished job, and the log. */
  readonly keepFinishedMs: number;
}

export const prelude = (settings: ScriptSettings): string => `
local P = string.sub(KEYS[1], 1, -2)
local REQUESTS = ${JSON.stringify(settings.requestChannel)}
local RESPONSES = ${JSON.stringify(settings.responseChannel)}
local DEFAULT_PROJECT = ${JSON.stringify(DEFAULT_PROJECT)}
local KEEP = ${settings.keepFinishedMs}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function jobKey(id) return P .. ':job:' .. id end
local function eventsKey(id) return P .. ':events:' .. id end
local function pendingKey(pin) if pin and pin ~= '' then return P .. ':pending:' .. pin end return P .. ':pending' end
-- The same jobs, those of one provider: a claim need not look at the jobs of one that has no room.
local function pendingOf(pin, provider) return pendingKey(pin) .. '|' .. provider end
local function ring(kind, id) redis.call('PUBLISH', REQUESTS, '{"v":1,"type":"' .. kind .. '","jobId":"' .. id .. '"}') end
local function announce(kind, id, status)
  redis.call('PUBLISH', RESPONSES, '{"v":1,"type":"' .. kind .. '","jobId":"' .. id .. '","status":"' .. status .. '"}')
end
local function finished(status) return status == 'succeeded' or status == 'failed' or status == 'cancelled' end

local function failedFor(reply, text) return type(reply) == 'table' and reply.err and string.find(reply.err, text, 1, true) end

-- Fields of a hash: the first is false when there is none, the others are '' then.
local function fieldsAt(key, ...)
  local r = redis.pcall('HMGET', key, ...)
  if failedFor(r, 'WRONGTYPE') then r = {} elseif r.err then r = redis.call('HMGET', key, ...) end
  for i = 2, select('#', ...) do r[i] = r[i] or '' end
  return r
end
local function fields(id, ...) return fieldsAt(jobKey(id), ...) end
local function number(text, other)
  return text and #text < 17 and string.find(text, '^-?%d+$') and tonumber(text) or other
end

-- Adds a change of a job to the log: 'j' changed, 'd' deleted; with its project and its session.
local function note(kind, id, project, session)
  if project == '' then project = DEFAULT_PROJECT end
  local function add(call)
    return call('XADD', P .. ':log', 'MINID', '~', now - KEEP, '*', kind, id, 'p', project, 's', session)
  end
  local r = add(redis.pcall)
  if type(r) ~= 'table' or not r.err then return end
  -- An entry that is not ours took the last id there is: another log begins, and every projection sees that.
  if failedFor(r, 'exhausted') then redis.call('DEL', P .. ':log', P .. ':log:id') end
  add(redis.call)
end

-- One more revision of a record. One that cannot be read is followed by one that is newer than any.
local function touch(id)
  local r = fields(id, 'status', 'rev', 'project', 'sessionId')
  redis.call('HSET', jobKey(id), 'rev', number(r[2], now) + 1)
  note('j', id, r[3], r[4])
end

-- Adds an event to a stream. What is there in its place or behind it is not ours.
local function put(key, seq, ...)
  local r = redis.pcall('XADD', key, seq, ...)
  if type(r) ~= 'table' or not r.err then return end
  if failedFor(r, 'WRONGTYPE') then
    redis.call('DEL', key)
  elseif failedFor(r, 'equal or smaller') then
    repeat
      local foreign = redis.call('XRANGE', key, seq, '+', 'COUNT', 1000)
      for _, entry in ipairs(foreign) do redis.call('XDEL', key, entry[1]) end
    until #foreign < 1000
    redis.call('XSETID', key, string.format('%.0f-18446744073709551615', seq - 1))
  end
  redis.call('XADD', key, seq, ...)
end

local function lastSeq(id)
  local seq = number(fields(id, 'status', 'seq')[2])
  if seq then return seq end
  local last = redis.pcall('XREVRANGE', eventsKey(id), '+', '-', 'COUNT', 1)[1]
  return last and number(string.match(last[1], '^%d+')) or 0
end

-- Appends events ({at, body, raw} one after the other) and rings whoever reads them; gives how many that are.
local function emit(id, attempt, list)
  local seq = lastSeq(id)
  for i = 1, #list, 3 do
    seq = seq + 1
    if list[i + 2] == '' then
      put(eventsKey(id), seq, 'a', attempt, 't', list[i], 'e', list[i + 1])
    else
      put(eventsKey(id), seq, 'a', attempt, 't', list[i], 'e', list[i + 1], 'r', list[i + 2])
    end
  end
  redis.call('HSET', jobKey(id), 'seq', seq)
  return redis.call('PUBLISH', P .. ':live:' .. id, seq)
end

local function lanesOf(text)
  local lanes = {}
  if not text or text == '' then return lanes end
  local ok, list = pcall(cjson.decode, text)
  if not ok or type(list) ~= 'table' then return lanes end
  for _, lane in ipairs(list) do if type(lane) == 'string' then lanes[#lanes + 1] = lane end end
  return lanes
end

-- Who is next in a lane. What has ended there, or has no record, is out of it.
local function headOf(lane)
  local key = P .. ':lane:' .. lane
  while true do
    local head = redis.call('ZRANGE', key, 0, 0)[1]
    local status = head and fields(head, 'status')[1]
    if not head or (status and not finished(status)) then return head end
    redis.call('ZREM', key, head)
  end
end

-- A submitted job becomes pending, unless another one is ahead of it in a lane (a session, a concurrency key).
local function admit(id)
  local r = fields(id, 'lanes', 'pin', 'score', 'provider')
  for _, lane in ipairs(lanesOf(r[1])) do
    if headOf(lane) ~= id then
      local reason = string.sub(lane, 1, 2) == 's:' and 'session' or 'concurrency_key'
      redis.call('HSET', jobKey(id), 'waitReason', reason)
      return false
    end
  end
  -- From now on it holds its lanes, whatever enters them: a delayed job, or one of a host whose clock is behind.
  for _, lane in ipairs(lanesOf(r[1])) do redis.call('ZADD', P .. ':lane:' .. lane, 0, id) end
  redis.call('HSET', jobKey(id), 'waitReason', '')
  local score = number(r[3], now)
  redis.call('ZADD', pendingKey(r[2]), score, id)
  redis.call('ZADD', pendingOf(r[2], r[4]), score, id)
  redis.call('SADD', P .. ':providers', r[4])
  if r[2] ~= '' then redis.call('ZADD', P .. ':pinned', now, id) end
  ring('run', id)
  return true
end

-- Takes its place in its lanes; one that has a place keeps it.
local function enterLanes(id, lanes)
  local createdAt = number(fields(id, 'status', 'createdAt')[2], now)
  for _, lane in ipairs(lanesOf(lanes)) do redis.call('ZADD', P .. ':lane:' .. lane, 'NX', createdAt, id) end
end

-- Leaves its lanes and lets whoever is next in each of them go on.
local function leaveLanes(id, lanes)
  for _, lane in ipairs(lanesOf(lanes)) do redis.call('ZREM', P .. ':lane:' .. lane, id) end
  for _, lane in ipairs(lanesOf(lanes)) do
    local head = headOf(lane)
    if head then
      local r = fields(head, 'status', 'executionId', 'waitReason')
      if r[1] == 'queued' and r[2] ~= '' and r[3] ~= '' then
        admit(head)
        touch(head) -- also when it still waits: for another lane now
      end
    end
  end
end

local function forget(id, pin)
  local provider = fields(id, 'status', 'provider')[2]
  redis.call('ZREM', P .. ':pending', id)
  redis.call('ZREM', pendingOf('', provider), id)
  if pin ~= '' then
    redis.call('ZREM', pendingKey(pin), id)
    redis.call('ZREM', pendingOf(pin, provider), id)
    redis.call('ZREM', P .. ':pinned', id)
  end
  redis.call('ZREM', P .. ':running', id)
  redis.call('ZREM', P .. ':awaiting', id)
  redis.call('ZREM', P .. ':expiries', id)
end

-- Ends a job for good. A finished job never changes again.
local function settle(id, status, outcome)
  local k = jobKey(id)
  local r = fields(id, 'lanes', 'pin', 'attempt')
  redis.call('HSET', k, 'status', status, 'outcome', outcome, 'finishedAt', now, 'waitReason', '', 'scheduledFor', '')
  forget(id, r[2])
  emit(id, number(r[3], 0), { now, '{"kind":"job.finished"}', '' })
  touch(id)
  redis.call('PEXPIRE', k, KEEP)
  redis.call('PEXPIRE', eventsKey(id), KEEP)
  leaveLanes(id, r[1])
  announce('finished', id, status)
end

-- Who made a job: 'owner' in records from before there were projects.
local function principalOf(principal, owner) return principal ~= '' and principal or owner end

-- Ends the current execution: the job ends with it, or waits for its next attempt.
local function endExecution(id, exec, status, outcome, retryable, backoff)
  local k = jobKey(id)
  local r = fields(id, 'status', 'attempt', 'maxAttempts', 'cancel', 'failures')
  local attempt = number(r[2], 1)
  -- A record from before failures were counted: each execution before this one failed.
  local failures = number(r[5], attempt - 1)
  if status == 'failed' then failures = failures + 1 end
  redis.call('HSET', k, 'failures', failures)
  emit(id, attempt, { now, '{"kind":"execution.finished","executionId":"' .. exec .. '","outcome":' .. outcome .. '}', '' })
  if retryable and status == 'failed' and failures < number(r[3], 1) and r[4] == '' then
    local due = now + backoff
    redis.call('HSET', k, 'status', 'scheduled', 'waitReason', 'backoff', 'scheduledFor', due, 'executionId', '',
      'node', '', 'ended', exec, 'endedAs', 'scheduled')
    redis.call('ZREM', P .. ':running', id)
    redis.call('ZADD', P .. ':awaiting', due + 15000, id)
    emit(id, attempt, { now, '{"kind":"job.scheduled","waitReason":"backoff","scheduledFor":' .. string.format('%.0f', due) .. '}', '' })
    touch(id)
    announce('scheduled', id, 'scheduled')
    return 'scheduled'
  end
  redis.call('HSET', k, 'ended', exec, 'endedAs', 'finished')
  settle(id, status, outcome)
  return 'finished'
end
`;
