-- EXPIRE: ends jobs that waited longer than their ttlMs, or for a limit longer than their
-- quotaTimeoutMs.
-- args    outcome, quota (the outcomes, JSON), limit
-- answer  their ids

local ids = {}
local due = redis.call('ZRANGEBYSCORE', P .. ':expiries', '-inf', now, 'LIMIT', 0, args.limit)
for _, id in ipairs(due) do
  local job = readJob(id, 'status', 'quotaUntil')
  local status = job.status
  if status == 'queued' or status == 'scheduled' then
    local outcome = job.quotaUntil == '' and args.outcome or args.quota
    settle(id, 'failed', withUsage(id, outcome))
    ids[#ids + 1] = id
  else
    redis.call('ZREM', P .. ':expiries', id)
  end
end
return ids
