-- Where jobs wait for their turn: lanes, ready queues, and what nodes were given. docs/protocol.md
-- ("Where a job waits") has the table of states.

-- How long a job stays behind another one of its lane before SWEEP looks whether that vanished.
local PARKED_MS = 15000

-- Ready jobs are in queues by project, principal (the payer, where there is one), provider, the
-- only node that may run them ('' for any node), whether they fail at a usage limit ('fail') or
-- wait for its end, and their model. So all jobs of a queue wait for the same limits. The set
-- `ready` has the names of the queues that are not empty.
local function readyKey(name) return P .. ':ready:' .. name end
-- Jobs that a node may claim, or may when BullMQ has delivered them.
local function givenKey(node) return P .. ':given:' .. node end
-- The ready queue of a job.
local function readyName(id)
  local job = readJob(id, 'project', 'principal', 'owner', 'payer', 'provider', 'pin', 'onQuota', 'model')
  local project = job.project == '' and DEFAULT_PROJECT or job.project
  local onQuota = job.onQuota == 'fail' and 'fail' or ''
  return cjson.encode({ project, chargedFor(job), job.provider, job.pin, onQuota, job.model })
end

-- Lanes: jobs of one session, or of one concurrency key, run one at a time.
local function lanesOf(text)
  local lanes = {}
  if text == '' then return lanes end
  local ok, list = pcall(cjson.decode, text)
  if not ok or type(list) ~= 'table' then return lanes end
  for _, lane in ipairs(list) do
    if type(lane) == 'string' then lanes[#lanes + 1] = lane end
  end
  return lanes
end

-- The first job in a lane. Jobs that ended or have no record are removed from it.
local function headOf(lane)
  while true do
    local head = redis.call('ZRANGE', laneKey(lane), 0, 0)[1]
    if not head then return nil end
    local status = readJob(head, 'status').status
    if status ~= '' and not isFinished(status) then return head end
    redis.call('ZREM', laneKey(lane), head)
  end
end

-- The place of a new job among all jobs: the time, but always above that of the job before. With
-- the clocks of the hosts, two jobs could each be ahead of the other one in one of two lanes.
local function nextOrder()
  local order = math.max(now, number(read(P .. ':turns', 'order').order, 0) + 1)
  redis.call('HSET', P .. ':turns', 'order', order)
  return order
end
-- The place of a job. One of an earlier version has only the time of its host.
local function orderOf(id)
  local job = readJob(id, 'order', 'createdAt')
  return number(job.order, number(job.createdAt, now))
end

-- Enters a job into its lanes; a job that is in one already keeps its place.
local function enterLanes(id, lanes)
  for _, lane in ipairs(lanesOf(lanes)) do
    redis.call('ZADD', laneKey(lane), 'NX', orderOf(id), id)
  end
end

-- A session has the id of its first job. That job is in no lane of the session until another job
-- follows it: then it goes first.
local function enterFirst(sessionId)
  local first, lane = readJob(sessionId, 'status', 'lanes'), 's:' .. sessionId
  if first.status == '' or isFinished(first.status) then return end
  if redis.call('ZSCORE', laneKey(lane), sessionId) then return end
  local lanes = lanesOf(first.lanes)
  lanes[#lanes + 1] = lane
  redis.call('HSET', jobKey(sessionId), 'lanes', cjson.encode(lanes))
  redis.call('ZADD', laneKey(lane), 0, sessionId)
end

-- Makes a queued job ready, unless another job is ahead of it in a lane: then it is parked.
-- Returns true when it is ready.
local function admit(id)
  local job = readJob(id, 'lanes', 'pin', 'score', 'waitReason', 'sessionId')
  local lanes = lanesOf(job.lanes)
  for _, lane in ipairs(lanes) do
    if headOf(lane) ~= id then
      local reason = string.sub(lane, 1, 2) == 's:' and 'session' or 'concurrency_key'
      redis.call('HSET', jobKey(id), 'waitReason', reason)
      redis.call('ZADD', P .. ':parked', now + PARKED_MS, id)
      return false
    end
  end
  -- With score 0 it holds the lane, even when an older job enters later, because it was delayed.
  for _, lane in ipairs(lanes) do redis.call('ZADD', laneKey(lane), 0, id) end
  if job.waitReason ~= '' then redis.call('HSET', jobKey(id), 'waitReason', '') end
  -- Its session may have begun since it was made: only that node has the session.
  if job.pin == '' and job.sessionId ~= '' and job.sessionId ~= id then
    job.pin = read(sessionKey(job.sessionId), 'node').node
    if job.pin == '' then job.pin = readJob(job.sessionId, 'sessionNode').sessionNode end
    redis.call('HSET', jobKey(id), 'pin', job.pin)
  end
  redis.call('ZREM', P .. ':parked', id)
  local name = readyName(id)
  redis.call('SADD', P .. ':ready', name)
  redis.call('ZADD', readyKey(name), number(job.score, now), id)
  if job.pin ~= '' then redis.call('ZADD', P .. ':pinned', 'NX', now, id) end
  return true
end

-- Removes a job from its lanes and admits the next job of each.
local function leaveLanes(id, text)
  local lanes = lanesOf(text)
  for _, lane in ipairs(lanes) do redis.call('ZREM', laneKey(lane), id) end
  for _, lane in ipairs(lanes) do
    local head = headOf(lane)
    local job = head and readJob(head, 'status', 'waitReason')
    if job and job.status == 'queued' and job.waitReason ~= '' then
      if admit(head) then ring('run', head) end
      touch(head) -- its waitReason may have changed to another lane's
    end
  end
end

local function leaveReady(id)
  local name = readyName(id)
  redis.call('ZREM', readyKey(name), id)
  if redis.call('EXISTS', readyKey(name)) == 0 then redis.call('SREM', P .. ':ready', name) end
end

-- Removes a job from every set of jobs that wait or run.
local function forget(id)
  leaveReady(id)
  redis.call('ZREM', givenKey(readJob(id, 'given').given), id)
  for _, set in ipairs({ ':pinned', ':parked', ':due', ':running', ':expiries', ':released' }) do
    redis.call('ZREM', P .. set, id)
  end
end

-- Lets a ready job through to a node. BullMQ has to deliver it now.
local function give(id, node)
  leaveReady(id)
  redis.call('HSET', jobKey(id), 'given', node)
  redis.call('ZADD', givenKey(node), redis.call('HINCRBY', P .. ':turns', '', 1), id)
  redis.call('ZADD', P .. ':released', now, id)
end

-- A node with free slots claims at each sweep. What it said counts for so long.
local SLOTS_MS = 10000
-- What a node had free when it claimed last: {at (ms), free, room (free slots by provider), roots,
-- closed (gates), aside (how many raw jobs it was given that keep no slot)}; nil when it takes no
-- jobs, or is silent.
local function slotsOf(node)
  local ok, slots = pcall(cjson.decode, read(P .. ':slots', node)[node])
  local isThere = ok and type(slots) == 'table' and tonumber(slots.at) and tonumber(slots.free)
  return isThere and slots.at > now - SLOTS_MS and slots or nil
end
local function nodesWithSlots()
  local nodes = redis.call('HKEYS', P .. ':slots')
  table.sort(nodes) -- a hash has no order
  return nodes
end
local function saveSlots(node, slots) redis.call('HSET', P .. ':slots', node, cjson.encode(slots)) end

-- An execution of a node has ended. The next claim corrects the count.
local function freeSlot(node, provider)
  local slots = slotsOf(node)
  if not slots then return end
  slots.free = slots.free + 1
  if slots.room[provider] then slots.room[provider] = slots.room[provider] + 1 end
  saveSlots(node, slots)
end

-- Takes a job back from the node that it was given to: it is ready again.
local function takeBack(id)
  local job = readJob(id, 'given')
  redis.call('ZREM', givenKey(job.given), id)
  redis.call('ZREM', P .. ':released', id)
  redis.call('HSET', jobKey(id), 'given', '', 'executionId', '')
  if admit(id) then ring('run', id) end
  touch(id)
end

-- A node takes no more jobs: those that it was given and has not claimed are ready again. A raw
-- one stays, because BullMQ does not know it.
local function takeBackFrom(node)
  redis.call('HDEL', P .. ':slots', node)
  for _, id in ipairs(redis.call('ZRANGE', givenKey(node), 0, -1)) do
    local job = readJob(id, 'status', 'given', 'kind')
    if job.status ~= 'queued' or job.given ~= node then
      redis.call('ZREM', givenKey(node), id)
    elseif job.kind ~= 'raw' then
      takeBack(id)
    end
  end
end

-- Which pending jobs a node may run. roots: nil allows every folder.
local function rootsOf(text) return text and cjson.decode(text) or nil end
local function mayRun(node, roots, cwd, pin)
  if pin ~= '' and pin ~= node then return false end
  if not roots or pin == node then return true end
  for _, root in ipairs(roots) do
    if root == '/' or cwd == root then return true end
    if string.sub(cwd, 1, #root + 1) == root .. '/' then return true end
  end
  return false
end
