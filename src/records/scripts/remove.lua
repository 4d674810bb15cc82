-- REMOVE: deletes a finished job, or a key in its place that is no record, with its events.
-- args    id
-- answer  1 | 0: it is not there, or not finished

local id = args.id
local job = readJob(id, 'status', 'project', 'sessionId')
if job.status ~= '' and not isFinished(job.status) then return 0 end
if redis.call('EXISTS', jobKey(id)) == 0 then return 0 end
note('d', id, job.project, job.sessionId) -- first: when Redis refuses this, nothing is deleted
redis.call('DEL', jobKey(id), eventsKey(id))
return 1
