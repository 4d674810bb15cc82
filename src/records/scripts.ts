/** The scripts, one per step of the protocol (docs/protocol.md says which step is whose). */

/** id, executionId */
export const SUBMIT = `
local id, k = ARGV[1], jobKey(ARGV[1])
local r = fields(id, 'status', 'executionId', 'scheduledFor', 'lanes', 'waitReason', 'attempt')
if not r[1] then return { 'gone' } end
if finished(r[1]) then return { 'finished', r[1] } end
if r[1] == 'running' then return { 'underway' } end
if r[2] ~= '' then
  if r[5] ~= '' then
    -- Whom it waits for may have gone without a word.
    if not admit(id) then return { 'parked' } end
    touch(id)
  end
  return { 'underway' }
end
if r[1] == 'scheduled' then
  local wait = number(r[3], now) - now
  if wait > 0 then return { 'early', wait } end
  redis.call('HSET', k, 'status', 'queued', 'scheduledFor', '', 'waitReason', '')
  emit(id, number(r[6], 0), { now, '{"kind":"job.queued"}', '' })
end
redis.call('HSET', k, 'executionId', ARGV[2])
redis.call('ZREM', P .. ':awaiting', id)
enterLanes(id, r[4])
local free = admit(id)
touch(id)
if free then return { 'underway' } end
return { 'parked' }
`;

/** Which pending jobs a node may run, and which of them comes first. */
const CHOICE = `
local function rootsOf(text) return text ~= '' and cjson.decode(text) or nil end
local function allowed(roots, node, cwd, pin)
  if not roots or pin == node then return true end
  for _, root in ipairs(roots) do
    if cwd == root or root == '/' or string.sub(cwd, 1, #root + 1) == root .. '/' then return true end
  end
  return false
end
local function bestFirst(a, b) if a[2] == b[2] then return a[1] < b[1] end return a[2] < b[2] end
`;

/** node, max, leaseMs, expiredOutcome, roots (JSON; empty: everywhere), window, room by provider (JSON; empty: no limits) */
export const CLAIM = `${CHOICE}
local node, max = ARGV[1], tonumber(ARGV[2])
local roots = rootsOf(ARGV[5])
local room = ARGV[7] ~= '' and cjson.decode(ARGV[7]) or nil
local function full(provider) return room and room[provider] and room[provider] <= 0 end
local best = {}
local function look(set, provider)
  local found = redis.call('ZRANGE', set, 0, max - 1 + ARGV[6], 'WITHSCORES')
  for i = 1, #found, 2 do best[#best + 1] = { found[i], tonumber(found[i + 1]), set, provider } end
end
for _, pin in ipairs({ '', node }) do
  if not room then look(pendingKey(pin)) end
  for _, provider in ipairs(room and redis.call('SMEMBERS', P .. ':providers') or {}) do
    if not full(provider) then look(pendingOf(pin, provider), provider) end
  end
end
table.sort(best, bestFirst)
local out = {}
for _, entry in ipairs(best) do
  if #out >= max then break end
  local id, k, provider = entry[1], jobKey(entry[1]), entry[4]
  if not full(provider) then
    local r = fields(id, 'status', 'executionId', 'deadline', 'startedAt', 'kind', 'principal', 'pin', 'cwd', 'attempt', 'request', 'owner', 'sessionId')
    local deadline = number(r[3])
    if r[1] ~= 'queued' or r[2] == '' then
      redis.call('ZREM', entry[3], id)
      forget(id, node)
    elseif r[4] == '' and deadline and deadline < now then
      settle(id, 'failed', ARGV[4])
    elseif allowed(roots, node, r[8], r[7]) then
      forget(id, r[7])
      redis.call('ZADD', P .. ':running', now + ARGV[3], id)
      local attempt = number(r[9], 0) + 1
      redis.call('HSET', k, 'status', 'running', 'node', node, 'appended', 0, 'waitReason', '', 'attempt', attempt)
      if r[4] == '' then redis.call('HSET', k, 'startedAt', now) end
      emit(id, attempt, { now, '{"kind":"job.running","executionId":"' .. r[2] .. '","node":"' .. node .. '"}', '' })
      touch(id)
      if provider and room[provider] then room[provider] = room[provider] - 1 end
      out[#out + 1] = { id, r[2], attempt, r[5], principalOf(r[6], r[11]), r[10], r[12] }
    end
  end
end
return out
`;

/** node, max, roots (as for CLAIM), longest request in bytes */
export const PEEK = `${CHOICE}
local roots = rootsOf(ARGV[3])
local best = {}
for _, pin in ipairs({ '', ARGV[1] }) do
  local found = redis.call('ZRANGE', pendingKey(pin), 0, ARGV[2] - 1, 'WITHSCORES')
  for i = 1, #found, 2 do best[#best + 1] = { found[i], tonumber(found[i + 1]) } end
end
table.sort(best, bestFirst)
local out = {}
for i = 1, math.min(#best, tonumber(ARGV[2])) do
  local k = jobKey(best[i][1])
  local r = fields(best[i][1], 'status', 'pin', 'cwd')
  if r[1] == 'queued' and allowed(roots, ARGV[1], r[3], r[2]) and redis.call('HSTRLEN', k, 'request') <= tonumber(ARGV[4]) then
    out[#out + 1] = redis.call('HGET', k, 'request') or ''
  end
end
return out
`;

/** node */
export const OWNED = `
local out = {}
for _, id in ipairs(redis.call('ZRANGE', P .. ':running', 0, -1)) do
  local r = fields(id, 'status', 'node', 'executionId', 'attempt', 'kind', 'principal', 'request', 'owner', 'sessionId')
  if r[1] ~= 'running' then redis.call('ZREM', P .. ':running', id)
  elseif r[2] == ARGV[1] then out[#out + 1] = { id, r[3], number(r[4], 1), r[5], principalOf(r[6], r[8]), r[7], r[9] } end
end
return out
`;

/** node, leaseMs, then jobId and executionId of each execution */
export const RENEW = `
redis.call('ZADD', P .. ':nodes', now, ARGV[1])
local out = {}
for i = 3, #ARGV, 2 do
  local r = fields(ARGV[i], 'status', 'executionId', 'node', 'cancel')
  if r[1] == 'running' and r[2] == ARGV[i + 1] and r[3] == ARGV[1] then
    redis.call('ZADD', P .. ':running', now + ARGV[2], ARGV[i])
    out[#out + 1] = r[4] == '' and 'held' or (r[4] == 'forced' and 'cancel-force' or 'cancel')
  else
    out[#out + 1] = 'lost'
  end
end
return out
`;

/** Appends ARGV[first..] as events number \`from\`… of the current execution, skipping what is there already; gives how many listen. */
const APPEND_TAIL = `
local function appendFrom(id, attempt, from, first)
  local done = number(fields(id, 'status', 'appended')[2], from)
  local list = {}
  for i = first + math.max(0, done - from) * 3, #ARGV do list[#list + 1] = ARGV[i] end
  if #list == 0 then return 0 end
  local listeners = emit(id, attempt, list)
  redis.call('HSET', jobKey(id), 'appended', from + (#ARGV - first + 1) / 3)
  return listeners
end
`;

/** id, executionId, from, then at, body, raw of each event */
export const APPEND = `${APPEND_TAIL}
local r = fields(ARGV[1], 'status', 'executionId', 'attempt')
if r[1] ~= 'running' or r[2] ~= ARGV[2] then return -1 end
return appendFrom(ARGV[1], number(r[3], 1), tonumber(ARGV[3]), 4)
`;

/** id, executionId, status, outcome, retryable, backoffMs, rawAnswer, from, then the events of the tail */
export const FINISH = `${APPEND_TAIL}
local id, exec = ARGV[1], ARGV[2]
local r = fields(id, 'status', 'executionId', 'attempt', 'ended', 'endedAs')
if r[4] == exec then return r[5] end
if r[1] ~= 'running' or r[2] ~= exec then return 'superseded' end
appendFrom(id, number(r[3], 1), tonumber(ARGV[8]), 9)
local how = endExecution(id, exec, ARGV[3], ARGV[4], ARGV[5] == '1', tonumber(ARGV[6]))
if ARGV[7] ~= '' then redis.call('PUBLISH', RESPONSES, ARGV[7]) end
return how
`;

/** id, force, outcome */
export const CANCEL = `
local id, k = ARGV[1], jobKey(ARGV[1])
local status = fields(id, 'status')[1]
if not status then return { 'gone' } end
if finished(status) then return { 'finished', status } end
if status ~= 'running' then
  redis.call('HSET', k, 'cancel', 'requested')
  settle(id, 'cancelled', ARGV[3])
  return { 'cancelled' }
end
local before = fields(id, 'status', 'cancel')[2]
local after = (ARGV[2] == '1' or before == 'forced') and 'forced' or 'requested'
if before ~= after then
  redis.call('HSET', k, 'cancel', after)
  touch(id)
end
ring('cancel', id)
return { 'requested' }
`;

/** id */
export const REMOVE = `
local r = fields(ARGV[1], 'status', 'project', 'sessionId')
if r[1] and not finished(r[1]) then return 0 end
if redis.call('EXISTS', jobKey(ARGV[1])) == 0 then return 0 end
note('d', ARGV[1], r[2], r[3]) -- may be refused; nothing is gone then
redis.call('DEL', jobKey(ARGV[1]), eventsKey(ARGV[1]))
return 1
`;

/** node, leaderMs, executionId, id, principal, request, score, createdAt, cwd, provider, project, sessionId */
export const ADOPT = `
local leader = redis.call('GET', P .. ':raw')
if leader and leader ~= ARGV[1] then
  local seen = redis.call('ZSCORE', P .. ':nodes', leader)
  if seen and tonumber(seen) > now - ARGV[2] then return 0 end
end
redis.call('SET', P .. ':raw', ARGV[1])
redis.call('ZADD', P .. ':nodes', now, ARGV[1]) -- it lives: nobody may take its place meanwhile
local id, k = ARGV[4], jobKey(ARGV[4])
redis.call('HSET', k, 'kind', 'raw', 'principal', ARGV[5], 'request', ARGV[6], 'score', ARGV[7], 'retryOf', '', 'pin', '',
  'lanes', '', 'createdAt', ARGV[8], 'maxAttempts', 1, 'status', 'queued', 'waitReason', '', 'scheduledFor', '',
  'attempt', 0, 'executionId', ARGV[3], 'node', '', 'cancel', '', 'seq', 0, 'rev', 0, 'appended', 0, 'startedAt', '',
  'finishedAt', '', 'outcome', '', 'deadline', '', 'cwd', ARGV[9], 'provider', ARGV[10],
  'project', ARGV[11], 'sessionId', ARGV[12], 'failures', 0)
emit(id, 0, { now, '{"kind":"job.queued"}', '' })
admit(id)
touch(id)
return 1
`;
