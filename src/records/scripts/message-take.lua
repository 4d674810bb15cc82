-- MESSAGE_TAKE: the messages for the current execution, each only once.
-- args    jobId, executionId
-- answer  of each: {id, text}

local job = readJob(args.jobId, 'status', 'executionId')
if job.status ~= 'running' or job.executionId ~= args.executionId then return {} end
local key, found = messages.key(args.jobId), {}
local all = redis.pcall('HGETALL', key)
for i = 1, all.err and 0 or #all, 2 do
  local place, text = string.match(all[i + 1], '^(%d+) (.*)$')
  if place then
    found[#found + 1] = { all[i], text, tonumber(place) }
    redis.call('HSET', key, all[i], 'taken')
  end
end
table.sort(found, function(a, b) return a[3] < b[3] end)
return found
