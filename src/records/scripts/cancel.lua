-- CANCEL: ends a job that does not run; asks the node of a running one to stop it.
-- args    id, force, outcome (JSON); by, byAddress, byRequest
-- answer  {'gone'} | {'finished', status}: it had ended before | {'cancelled'} | {'requested'}

local id = args.id
local job = readJob(id, 'status', 'cancel', 'project')
local function auditCancel()
  audit('job.cancelled', id, job.project == '' and DEFAULT_PROJECT or job.project,
    args.force and '{"force":true}')
end
if job.status == '' then return { 'gone' } end
if isFinished(job.status) then return { 'finished', job.status } end
if job.status ~= 'running' then
  redis.call('HSET', jobKey(id), 'cancel', 'requested')
  settle(id, 'cancelled', withUsage(id, args.outcome))
  auditCancel()
  return { 'cancelled' }
end
local cancel = (args.force or job.cancel == 'forced') and 'forced' or 'requested'
if job.cancel ~= cancel then
  redis.call('HSET', jobKey(id), 'cancel', cancel)
  touch(id)
  auditCancel()
end
ring('cancel', id)
return { 'requested' }
