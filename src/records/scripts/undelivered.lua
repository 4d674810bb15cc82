-- UNDELIVERED: jobs that BullMQ should have delivered by now.
-- args    againInMs (when to look at them again), limit
-- answer  ids

local ids = {}
local due = redis.call('ZRANGEBYSCORE', P .. ':awaiting', '-inf', now, 'LIMIT', 0, args.limit)
for _, id in ipairs(due) do
  local job = readJob(id, 'status', 'executionId')
  if (job.status == 'queued' or job.status == 'scheduled') and job.executionId == '' then
    redis.call('ZADD', P .. ':awaiting', now + args.againInMs, id)
    ids[#ids + 1] = id
  else
    redis.call('ZREM', P .. ':awaiting', id)
  end
end
return ids
