-- MESSAGE_SEND: a message into the running turn of a job.
-- args    jobId, id, text
-- answer  1: it is on its way | 0: no turn runs

local job = readJob(args.jobId, 'status', 'cancel')
if job.status ~= 'running' or job.cancel ~= '' then return 0 end
local key = messages.key(args.jobId)
local place = redis.pcall('HINCRBY', key, '', 1)
if type(place) ~= 'number' then
  redis.call('DEL', key)
  place = redis.call('HINCRBY', key, '', 1)
end
redis.call('HSETNX', key, args.id, place .. ' ' .. args.text)
redis.call('PEXPIRE', key, KEEP_MS)
ring('talk', args.jobId)
return 1
