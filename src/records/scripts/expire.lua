-- EXPIRE: ends jobs that waited longer than their ttlMs.
-- args    outcome (JSON), limit
-- answer  their ids

local ids = {}
local due = redis.call('ZRANGEBYSCORE', P .. ':expiries', '-inf', now, 'LIMIT', 0, args.limit)
for _, id in ipairs(due) do
  local status = readJob(id, 'status').status
  if status == 'queued' or status == 'scheduled' then
    settle(id, 'failed', args.outcome)
    ids[#ids + 1] = id
  else
    redis.call('ZREM', P .. ':expiries', id)
  end
end
return ids
