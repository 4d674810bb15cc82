-- SUBMIT: gives a delivered job its execution id, when a node was given it or has room for it.
-- Repeating it changes nothing.
-- args    id, executionId
-- answer  {'gone'} | {'finished', status} | {'later', waitMs}: its time has not come
--         | {'later'}: BullMQ must not deliver it before its turn | {'underway'}: a node has it

local id = args.id
local job = readJob(id, 'status', 'executionId', 'scheduledFor', 'waitReason', 'attempt', 'given',
  'cwd', 'pin', 'provider', 'project', 'principal', 'owner', 'payer', 'limits')
if job.status == '' then
  redis.call('ZREM', P .. ':released', id)
  return { 'gone' }
end
if isFinished(job.status) then return { 'finished', job.status } end
if job.status == 'running' or job.executionId ~= '' then return { 'underway' } end
if job.status == 'scheduled' then
  local waitMs = number(job.scheduledFor, now) - now
  if waitMs > 0 then return { 'later', waitMs } end
  becomeDue(id, number(job.attempt, 0))
  touch(id)
  job = readJob(id, 'waitReason', 'given', 'cwd', 'pin', 'provider', 'project', 'principal', 'owner',
    'payer', 'limits')
end
if job.waitReason ~= '' then return { 'later' } end

-- A node with a free slot for this job; nil when there is none, or when others may want it, or when
-- CLAIM has to count how many its caller runs.
local function nodeWithRoom()
  if hasMark(job, 'r') then return nil end
  local others, holders = {}, holdersOfJob(job)
  for _, name in ipairs(redis.call('SMEMBERS', P .. ':ready')) do
    if redis.call('ZCARD', readyKey(name)) > (name == readyName(id) and 1 or 0) then
      local ok, queue = pcall(cjson.decode, name)
      others[#others + 1] = ok and type(queue) == 'table' and queue or { '', '', '' }
    end
  end
  local function othersWant(node, slots)
    for _, queue in ipairs(others) do
      if (slots.room[queue[3]] or math.huge) > 0
        and not isHeld(slots.closed, node, queue[3], holdersOf(queue[1], queue[2])) then
        return true
      end
    end
    return false
  end
  for _, node in ipairs(nodesWithSlots()) do
    local slots = slotsOf(node)
    if slots and math.min(slots.free, slots.room[job.provider] or math.huge)
      > redis.call('ZCARD', givenKey(node)) - (tonumber(slots.aside) or 0)
      and not isHeld(slots.closed, node, job.provider, holders)
      and not othersWant(node, slots)
      and mayRun(node, rootsOf(slots.roots), job.cwd, job.pin) then
      return node
    end
  end
end

if job.given == '' then
  local node = nodeWithRoom()
  if not node then
    ring('run', id)
    return { 'later' }
  end
  give(id, node)
end
redis.call('HSET', jobKey(id), 'executionId', args.executionId)
redis.call('ZREM', P .. ':released', id)
touch(id)
ring('run', id)
return { 'underway' }
