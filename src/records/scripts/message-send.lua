-- MESSAGE_SEND: a message into the running turn of a job.
-- args    jobId, id, text; project, principal: of its sender, whose limits count
-- answer  1: it is on its way | 0: no turn runs | {'limited', ...}: as of takeJobs in limits.lua

local job = readJob(args.jobId, 'status', 'cancel')
if job.status ~= 'running' or job.cancel ~= '' then return 0 end
local key = messages.key(args.jobId)
if args.principal and redis.pcall('HEXISTS', key, args.id) ~= 1 then
  local refusal = takeJobs(holdersOf(args.project, payerOf(args.principal)), 1)
  if refusal then return limitedAnswer(refusal) end
end
local place = redis.pcall('HINCRBY', key, '', 1)
if type(place) ~= 'number' then
  redis.call('DEL', key)
  place = redis.call('HINCRBY', key, '', 1)
end
redis.call('HSETNX', key, args.id, place .. ' ' .. args.text)
redis.call('PEXPIRE', key, KEEP_MS)
ring('talk', args.jobId)
return 1
