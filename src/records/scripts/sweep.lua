-- SWEEP: repeats what a caller may have left undone after another script.
-- args    againInMs (when to name a job again), limit
-- answer  {ids to deliver now, ids of ended jobs whose entry in BullMQ has to go}

local function due(set)
  return redis.call('ZRANGEBYSCORE', P .. set, '-inf', now, 'LIMIT', 0, args.limit)
end
for _, id in ipairs(due(':due')) do
  local job = readJob(id, 'status', 'attempt')
  if job.status == 'scheduled' then
    becomeDue(id, number(job.attempt, 0))
    touch(id)
  else
    redis.call('ZREM', P .. ':due', id)
  end
end
for _, id in ipairs(due(':parked')) do
  local job = readJob(id, 'status', 'waitReason')
  if job.status ~= 'queued' or job.waitReason == '' then
    redis.call('ZREM', P .. ':parked', id)
  elseif admit(id) then
    touch(id)
    ring('run', id)
  end
end
-- The node of a running job ends it, when an approval of it has expired. EXPIRE ends a job that
-- waits.
for _, id in ipairs(due(':approvals')) do
  local approval = approvals.read(id, 'status', 'job')
  local job = readJob(approval.job, 'status')
  if approval.status ~= 'pending' then
    redis.call('ZREM', PENDING, id)
  elseif job.status ~= 'waiting' then
    approvals.close(id, 'expired')
    if job.status == 'running' then
      answerSession(approval.job, id)
      ring('talk', approval.job)
    end
  end
end
-- A silent node may be gone. Another one takes what it was given and has not claimed.
for _, node in ipairs(nodesWithSlots()) do
  if not slotsOf(node) then takeBackFrom(node) end
end
local deliver, remove = {}, {}
local released =
  redis.call('ZRANGEBYSCORE', P .. ':released', '-inf', now - args.againInMs, 'LIMIT', 0, args.limit)
for _, id in ipairs(released) do
  redis.call('ZADD', P .. ':released', now, id)
  local list = readJob(id, 'status').status == 'queued' and deliver or remove
  list[#list + 1] = id
end
return { deliver, remove }
