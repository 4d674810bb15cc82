-- CLAIM: a node claims up to `max` jobs that were given to it and delivered. Then ready jobs are
-- given to it, in fair order: as many as it has free slots left.
-- args    node, max (its free slots), leaseMs, expired, quota, unanswered (outcomes of jobs that
--         waited too long, as of EXPIRE), window (how many jobs that the node may not run are
--         looked past, and how many are ended), roots (JSON list of folders; none: every folder),
--         room (JSON: free slots by provider, for providers with a limit)
-- answer  {claims, ids}: of each claim {id, executionId, attempt, kind, principal, sessionId,
--         request, project, grant, signature, ms since it could begin}; the ids of the jobs that
--         it was given, which BullMQ has to deliver now

local node, max = args.node, tonumber(args.max)
local roots = rootsOf(args.roots)
local room = args.room and cjson.decode(args.room) or {}
local limits, closed = limitsOf(node), closedGates()
local function isFull(provider) return room[provider] and room[provider] <= 0 end
local function take(provider)
  if room[provider] then room[provider] = room[provider] - 1 end
end

-- Jobs by holder (limits.lua): those that run, and with `given` those that a node was given, too.
-- They are counted when a limit asks for it.
local runs = {}
local function running()
  if not runs.running then
    runs.running = {}
    countHolders(P .. ':running', runs.running)
  end
  return runs.running
end
local function runningOrGiven()
  if not runs.given then
    runs.given = {}
    countHolders(P .. ':running', runs.given)
    for _, name in ipairs(nodesWithSlots()) do countHolders(givenKey(name), runs.given) end
  end
  return runs.given
end
local function count(counts, holders)
  for _, holder in ipairs(counts and holders or {}) do counts[holder] = (counts[holder] or 0) + 1 end
end

expire(args, args.window)

local claimed = {}
local function claim(id, job, holders)
  local attempt = number(job.attempt, 0) + 1
  forget(id)
  markRunning(id, job, holders)
  count(runs.running, holders)
  redis.call('ZADD', P .. ':running', now + args.leaseMs, id)
  redis.call('HSET', jobKey(id), 'status', 'running', 'node', node, 'appended', 0, 'given', '',
    'attempt', attempt)
  if job.startedAt == '' then redis.call('HSET', jobKey(id), 'startedAt', now) end
  emit(id, attempt, {
    now,
    '{"kind":"job.running","executionId":"' .. job.executionId .. '","node":"' .. node .. '"}',
    '',
  })
  touch(id)
  startTurn(id)
  take(job.provider)
  claimed[#claimed + 1] =
    { id, job.executionId, attempt, job.kind, principalOf(job), job.sessionId, job.request,
      job.project, job.grant, job.signature, now - number(job.dueAt, now) }
end

-- The jobs that it was given before. Those that it cannot claim yet keep their slots, except raw
-- ones behind a gate, a limit or a full provider: those stay, since BullMQ does not know them.
local underWay, aside = {}, 0
for _, id in ipairs(redis.call('ZRANGE', givenKey(node), 0, -1)) do
  local job = readJob(id, 'status', 'executionId', 'startedAt', 'kind', 'principal', 'owner',
    'project', 'sessionId', 'pin', 'given', 'provider', 'model', 'onQuota', 'attempt', 'request',
    'grant', 'signature', 'score', 'dueAt', 'payer', 'limits')
  local holders = holdersOfJob(job)
  local waits = isHeld(closed, node, job.provider, holders) or waitsForLimit(limits, job)
    or isAtMaxRunning(holders, running)
  if job.status ~= 'queued' or job.given ~= node then
    redis.call('ZREM', givenKey(node), id)
  elseif waits and job.kind ~= 'raw' then
    takeBack(id)
  elseif not waits and job.executionId ~= '' and #claimed < max and not isFull(job.provider) then
    tryLimit(limits, job)
    claim(id, job, holders)
  elseif waits or job.kind == 'raw' and isFull(job.provider) then
    aside = aside + 1
  else
    underWay[#underWay + 1] = job.provider
  end
end

-- What SUBMIT has to know to give a lone job to this node.
local known = {}
for provider, slots in pairs(room) do known[provider] = slots end
for provider in pairs(limits) do known[provider] = 0 end
saveSlots(node, { at = now, free = max - #claimed, room = known, roots = args.roots, closed = closed,
  aside = aside })
for _, provider in ipairs(underWay) do take(provider) end

-- The first job of a ready queue that this node may run. Entries that are not ready are removed.
local function firstOf(queue)
  local key = readyKey(queue.name)
  for from = 0, tonumber(args.window), 100 do
    local found = redis.call('ZRANGE', key, from, from + 99, 'WITHSCORES')
    for i = 1, #found, 2 do
      local id = found[i]
      local job = readJob(id, 'status', 'given', 'waitReason', 'cwd', 'pin', 'provider', 'model',
        'onQuota', 'executionId', 'score')
      if job.status ~= 'queued' or job.given ~= '' or job.waitReason ~= '' then
        redis.call('ZREM', key, id)
      elseif readyName(id) ~= queue.name then
        redis.call('ZREM', key, id)
        admit(id) -- an earlier version named its queues otherwise
      elseif mayRun(node, roots, job.cwd, job.pin) and not waitsForLimit(limits, job) then
        return { id = id, score = tonumber(found[i + 1]) }
      end
    end
    if #found < 200 then return nil end
  end
end

-- Fair order: each project, and each principal inside its project, has a virtual time in `turns`
-- that grows by one with each job let through. The smallest goes first. One that was idle, or had
-- only jobs that could not run, does not catch up: it counts as the one that had the last turn did
-- then (field '*', and one for each project).
local function turnsOf(queue)
  local project = cjson.encode({ queue[1] })
  return { name = project, last = '*' },
    { name = cjson.encode({ queue[1], queue[2] }), last = '*' .. project }
end
local function turnOf(one)
  local turns = read(P .. ':turns', one.name, one.last)
  return math.max(number(turns[one.name], 0), number(turns[one.last], 0))
end

local wanted = max - #claimed - #underWay
local queues = {}
for _, name in ipairs(wanted > 0 and redis.call('SMEMBERS', P .. ':ready') or {}) do
  local ok, queue = pcall(cjson.decode, name)
  if not ok or type(queue) ~= 'table' or redis.call('EXISTS', readyKey(name)) == 0 then
    redis.call('SREM', P .. ':ready', name)
  elseif queue[4] == '' or queue[4] == node then
    local project, principal = turnsOf(queue)
    local holders = holdersOf(queue[1], queue[2])
    local isOpen = not isHeld(closed, node, queue[3], holders)
    if isOpen and (queue[5] == 'fail' or not isLimited(limits, queue[3], queue[6] or '')) then
      queues[#queues + 1] =
        { name = name, provider = queue[3], project = project, principal = principal, holders = holders }
    end
  end
end

-- Whether queue a comes before b: the smaller virtual time of its project or principal, then the
-- better job.
local function isBefore(level, a, b)
  local x, y = turnOf(a[level]), turnOf(b[level])
  if x ~= y then return x < y end
  if a.first.score ~= b.first.score then return a.first.score < b.first.score end
  return a.first.id < b.first.id
end

-- The queue with the next job: in each project that of the principal whose turn it is, and of these
-- that of the project.
local function best()
  local ofProject, found = {}, nil
  for _, queue in ipairs(queues) do
    if not isFull(queue.provider) and not isAtMaxRunning(queue.holders, runningOrGiven) then
      queue.first = queue.first or firstOf(queue)
      local other = ofProject[queue.project.name]
      if queue.first and (not other or isBefore('principal', queue, other)) then
        ofProject[queue.project.name] = queue
      end
    end
  end
  for _, queue in pairs(ofProject) do
    if not found or isBefore('project', queue, found) then found = queue end
  end
  return found
end

local given = {}
local function giveBest()
  local queue = best()
  if not queue then return false end
  give(queue.first.id, node)
  for _, one in ipairs({ queue.project, queue.principal }) do
    local turn = turnOf(one)
    redis.call('HSET', P .. ':turns', one.last, turn, one.name, turn + 1)
  end
  take(queue.provider)
  count(runs.given, queue.holders)
  given[#given + 1] = queue.first.id
  queue.first = nil
  return true
end

for _ = 1, wanted do
  if not giveBest() then break end
end
return { claimed, given }
