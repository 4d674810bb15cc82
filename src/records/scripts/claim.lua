-- CLAIM: gives a node up to `max` pending jobs that it may run, best first. Removes entries that
-- are not pending, and ends jobs whose ttlMs is over.
-- args    node, max, leaseMs, expired (the outcome of an expired job, JSON), window (how many
--         jobs that the node may not run are looked past), roots (JSON list of folders; none:
--         every folder), room (JSON: free slots by provider; none: no limits)
-- answer  of each: {id, executionId, attempt, kind, principal, sessionId, request}

local node, max = args.node, tonumber(args.max)
local roots = rootsOf(args.roots)
local room = args.room and cjson.decode(args.room) or nil
local limits = limitsOf(node)
if next(limits) then room = room or {} end -- looks by provider
local function isFull(provider) return room and room[provider] and room[provider] <= 0 end
local function waitsForLimit(job)
  local limit = limits[job.provider]
  if not limit or job.onQuota == 'fail' then return false end
  local model = modelFor(limit.credential, job.model)
  if gateBefore(limit.gates, model, job.executionId) then return true end
  tryGates(limit.gates, model, job.executionId)
  return false
end

local best = {}
local function look(set, provider)
  local found = redis.call('ZRANGE', set, 0, max - 1 + args.window, 'WITHSCORES')
  for i = 1, #found, 2 do best[#best + 1] = { found[i], tonumber(found[i + 1]), set, provider } end
end
for _, pin in ipairs({ '', node }) do
  if not room then look(pendingKey(pin)) end
  for _, provider in ipairs(room and redis.call('SMEMBERS', P .. ':providers') or {}) do
    local fails = isLimited(limits, provider) and FAILS or ''
    if not isFull(provider) then look(pendingOf(pin, provider .. fails), provider) end
  end
end
table.sort(best, bestFirst)

local claimed = {}
local function claim(id, provider, job)
  local attempt = number(job.attempt, 0) + 1
  forget(id, job.pin, job.provider)
  redis.call('ZADD', P .. ':running', now + args.leaseMs, id)
  redis.call('HSET', jobKey(id), 'status', 'running', 'node', node, 'appended', 0, 'waitReason', '',
    'attempt', attempt)
  if job.startedAt == '' then redis.call('HSET', jobKey(id), 'startedAt', now) end
  emit(id, attempt, {
    now,
    '{"kind":"job.running","executionId":"' .. job.executionId .. '","node":"' .. node .. '"}',
    '',
  })
  touch(id)
  if room and room[provider] then room[provider] = room[provider] - 1 end
  claimed[#claimed + 1] =
    { id, job.executionId, attempt, job.kind, principalOf(job), job.sessionId, job.request }
end

for _, entry in ipairs(best) do
  if #claimed >= max then break end
  local id, _, set, provider = unpack(entry)
  if not isFull(provider) then
    local job = readJob(id, 'status', 'executionId', 'deadline', 'startedAt', 'kind', 'principal',
      'owner', 'sessionId', 'pin', 'provider', 'model', 'onQuota', 'cwd', 'attempt', 'request')
    local deadline = number(job.deadline)
    if job.status ~= 'queued' or job.executionId == '' then
      redis.call('ZREM', set, id)
      forget(id, node, job.provider)
    elseif job.startedAt == '' and deadline and deadline < now then
      settle(id, 'failed', args.expired)
    elseif mayRun(node, roots, job.cwd, job.pin) and not waitsForLimit(job) then
      claim(id, provider, job)
    end
  end
end
return claimed
