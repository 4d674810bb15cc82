-- SUBMIT: gives a delivered job its execution id and makes it pending. Repeating it changes
-- nothing.
-- args    id, executionId
-- answer  {'gone'} | {'finished', status} | {'early', waitMs}: its time has not come
--         | {'parked'}: another job is ahead of it in a lane | {'underway'}: pending or running

local id = args.id
local job = readJob(id, 'status', 'executionId', 'scheduledFor', 'lanes', 'waitReason', 'attempt')
if job.status == '' then return { 'gone' } end
if isFinished(job.status) then return { 'finished', job.status } end
if job.status == 'running' then return { 'underway' } end
if job.executionId ~= '' then
  if job.waitReason ~= '' then
    -- The job ahead of it may have vanished without admitting it.
    if not admit(id) then return { 'parked' } end
    touch(id)
  end
  return { 'underway' }
end
if job.status == 'scheduled' then
  local waitMs = number(job.scheduledFor, now) - now
  if waitMs > 0 then return { 'early', waitMs } end
  redis.call('HSET', jobKey(id), 'status', 'queued', 'scheduledFor', '', 'waitReason', '')
  emit(id, number(job.attempt, 0), { now, QUEUED, '' })
end
redis.call('HSET', jobKey(id), 'executionId', args.executionId)
redis.call('ZREM', P .. ':awaiting', id)
enterLanes(id, job.lanes)
local pending = admit(id)
touch(id)
return { pending and 'underway' or 'parked' }
