-- ADOPT: makes a job of a raw request, which this node may claim at once. One node does this for
-- all.
-- args    node, leaderMs (how long a silent node keeps this task), executionId, and the fields of
--         createJob in jobs.lua; by
-- answer  1 | 0: another node answers raw requests

local leader = redis.call('GET', P .. ':raw')
if leader and leader ~= args.node then
  local seen = redis.call('ZSCORE', P .. ':nodes', leader)
  if seen and tonumber(seen) > now - args.leaderMs then return 0 end
end
redis.call('SET', P .. ':raw', args.node)
redis.call('ZADD', P .. ':nodes', now, args.node) -- no other node takes over now
createJob(args, args.executionId, args.node)
audit('job.created', args.id, args.project)
redis.call('ZADD', givenKey(args.node), redis.call('HINCRBY', P .. ':turns', '', 1), args.id)
ring('run', args.id)
return 1
