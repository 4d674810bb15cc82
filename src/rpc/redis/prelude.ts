/**
 * What every script starts with. One record per job, changed only here, and each change is one atomic step:
 * the record, its event, the log entry and the doorbell together.
 *
 * Keys are built from the prefix (`KEYS[1]`, with its colon), which carries the one hash tag of all keys: legal in a
 * cluster because they share its slot. Times come from Redis, never from a host's clock.
 */
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

-- One more revision of a record, told to every projection.
local function touch(id)
  redis.call('HINCRBY', jobKey(id), 'rev', 1)
  redis.call('XADD', P .. ':log', 'MINID', '~', now - KEEP, '*', 'j', id)
end

-- Appends events ({at, body, raw} one after the other) and rings whoever reads them; gives how many that are.
local function emit(id, attempt, list)
  local seq = tonumber(redis.call('HGET', jobKey(id), 'seq'))
  for i = 1, #list, 3 do
    seq = seq + 1
    if list[i + 2] == '' then
      redis.call('XADD', eventsKey(id), seq, 'a', attempt, 't', list[i], 'e', list[i + 1])
    else
      redis.call('XADD', eventsKey(id), seq, 'a', attempt, 't', list[i], 'e', list[i + 1], 'r', list[i + 2])
    end
  end
  redis.call('HSET', jobKey(id), 'seq', seq)
  return redis.call('PUBLISH', P .. ':live:' .. id, seq)
end

local function lanesOf(text) if text == '' then return {} end return cjson.decode(text) end

-- A submitted job becomes pending, unless another one is ahead of it in a lane (a session, a concurrency key).
local function admit(id)
  local r = redis.call('HMGET', jobKey(id), 'lanes', 'pin', 'score', 'provider')
  for _, lane in ipairs(lanesOf(r[1])) do
    if redis.call('ZRANGE', P .. ':lane:' .. lane, 0, 0)[1] ~= id then
      local reason = string.sub(lane, 1, 2) == 's:' and 'session' or 'concurrency_key'
      redis.call('HSET', jobKey(id), 'waitReason', reason)
      return false
    end
  end
  -- From now on it holds its lanes, whatever enters them: a delayed job, or one of a host whose clock is behind.
  for _, lane in ipairs(lanesOf(r[1])) do redis.call('ZADD', P .. ':lane:' .. lane, 0, id) end
  redis.call('HSET', jobKey(id), 'waitReason', '')
  redis.call('ZADD', pendingKey(r[2]), r[3], id)
  redis.call('ZADD', pendingOf(r[2], r[4] or ''), r[3], id)
  redis.call('SADD', P .. ':providers', r[4] or '')
  if r[2] ~= '' then redis.call('ZADD', P .. ':pinned', now, id) end
  ring('run', id)
  return true
end

-- Takes its place in its lanes; one that has a place keeps it.
local function enterLanes(id, lanes)
  local createdAt = redis.call('HGET', jobKey(id), 'createdAt')
  for _, lane in ipairs(lanesOf(lanes)) do redis.call('ZADD', P .. ':lane:' .. lane, 'NX', createdAt, id) end
end

-- Leaves its lanes and lets whoever is next in each of them go on.
local function leaveLanes(id, lanes)
  for _, lane in ipairs(lanesOf(lanes)) do
    local key = P .. ':lane:' .. lane
    redis.call('ZREM', key, id)
    local head = redis.call('ZRANGE', key, 0, 0)[1]
    if head then
      local r = redis.call('HMGET', jobKey(head), 'status', 'executionId', 'waitReason')
      if r[1] == 'queued' and r[2] ~= '' and r[3] ~= '' then
        admit(head)
        touch(head) -- also when it still waits: for another lane now
      end
    end
  end
end

local function forget(id, pin)
  local provider = redis.call('HGET', jobKey(id), 'provider') or ''
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
  local r = redis.call('HMGET', k, 'lanes', 'pin', 'attempt')
  redis.call('HSET', k, 'status', status, 'outcome', outcome, 'finishedAt', now, 'waitReason', '', 'scheduledFor', '')
  forget(id, r[2])
  emit(id, r[3], { now, '{"kind":"job.finished"}', '' })
  touch(id)
  redis.call('PEXPIRE', k, KEEP)
  redis.call('PEXPIRE', eventsKey(id), KEEP)
  leaveLanes(id, r[1])
  announce('finished', id, status)
end

-- Ends the current execution: the job ends with it, or waits for its next attempt.
local function endExecution(id, exec, status, outcome, retryable, backoff)
  local k = jobKey(id)
  local r = redis.call('HMGET', k, 'attempt', 'maxAttempts', 'cancel')
  emit(id, r[1], { now, '{"kind":"execution.finished","executionId":"' .. exec .. '","outcome":' .. outcome .. '}', '' })
  if retryable and tonumber(r[1]) < tonumber(r[2]) and r[3] == '' then
    local due = now + backoff
    redis.call('HSET', k, 'status', 'scheduled', 'waitReason', 'backoff', 'scheduledFor', due, 'executionId', '',
      'node', '', 'ended', exec, 'endedAs', 'scheduled')
    redis.call('ZREM', P .. ':running', id)
    redis.call('ZADD', P .. ':awaiting', due + 15000, id)
    emit(id, r[1], { now, '{"kind":"job.scheduled","waitReason":"backoff","scheduledFor":' .. string.format('%.0f', due) .. '}', '' })
    touch(id)
    announce('scheduled', id, 'scheduled')
    return 'scheduled'
  end
  redis.call('HSET', k, 'ended', exec, 'endedAs', 'finished')
  settle(id, status, outcome)
  return 'finished'
end
`;
