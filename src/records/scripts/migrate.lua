-- MIGRATE: puts jobs of the version before this one where they belong. That version had the sets
-- `pending…`, `awaiting` and `providers`, and none of `ready`, `due` and `parked`.
-- args    node (it keeps its raw jobs), over (all jobs were named: the old sets go)
-- list    ids of unfinished jobs
-- answer  1 | 0: there is nothing of that version

local old = { P .. ':awaiting', P .. ':pending', P .. ':providers' }
if redis.call('EXISTS', unpack(old)) == 0 then return 0 end
for i = listAt, #ARGV do
  local id = ARGV[i]
  local job = readJob(id, 'status', 'kind', 'scheduledFor', 'executionId')
  if job.status == 'scheduled' then
    redis.call('ZADD', P .. ':due', number(job.scheduledFor, now), id)
  elseif job.status == 'queued' and job.kind == 'raw' then
    redis.call('HSET', jobKey(id), 'given', args.node)
    redis.call('ZADD', givenKey(args.node), redis.call('HINCRBY', P .. ':turns', '', 1), id)
  elseif job.status == 'queued' then
    redis.call('HSET', jobKey(id), 'given', '', 'executionId', '', 'waitReason', '')
    enterLanes(id, readJob(id, 'lanes').lanes)
    admit(id)
  end
end
if args.over then
  for _, key in ipairs(redis.call('KEYS', P .. ':pending*')) do redis.call('DEL', key) end
  redis.call('DEL', unpack(old))
end
return 1
