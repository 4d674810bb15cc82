-- CANCEL: ends a job that does not run; asks the node of a running one to stop it.
-- args    id, force, outcome (JSON)
-- answer  {'gone'} | {'finished', status}: it had ended before | {'cancelled'} | {'requested'}

local id = args.id
local job = readJob(id, 'status', 'cancel')
if job.status == '' then return { 'gone' } end
if isFinished(job.status) then return { 'finished', job.status } end
if job.status ~= 'running' then
  redis.call('HSET', jobKey(id), 'cancel', 'requested')
  settle(id, 'cancelled', withUsage(id, args.outcome))
  return { 'cancelled' }
end
local cancel = (args.force or job.cancel == 'forced') and 'forced' or 'requested'
if job.cancel ~= cancel then
  redis.call('HSET', jobKey(id), 'cancel', cancel)
  touch(id)
end
ring('cancel', id)
return { 'requested' }
