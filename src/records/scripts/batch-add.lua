-- BATCH_ADD: makes jobs of a batch. The list of its jobs has the ids in order, so its length says
-- how many were made: a repeated call makes only the rest, and no job again after it is gone.
-- args    batch, from (the number of the first job in the list, from 0), closed (the outcome of a
--         job whose session was closed in between, JSON)
-- list    of each job the named fields of createJob in jobs.lua
-- answer  1 | 0: there is no such batch, or jobs before `from` are missing

local members = membersKey(args.batch)
local ttl = redis.call('PTTL', batchKey(args.batch))
local made = redis.call('LLEN', members)
if ttl < 0 or tonumber(args.from) > made then return 0 end
local index, at = tonumber(args.from), listAt
while at <= #ARGV do
  local job, behind = namedAt(at)
  if index >= made then
    createJob(job)
    if isClosed(job.sessionId) then settle(job.id, 'failed', args.closed) end
    redis.call('RPUSH', members, job.id)
  end
  index, at = index + 1, behind
end
redis.call('PEXPIRE', members, ttl)
ring('run', args.batch) -- any id does: the nodes look for ready jobs
return 1
