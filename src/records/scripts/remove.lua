-- REMOVE: deletes a finished job, or a key in its place that is no record, with its events.
-- args    id; project, by, byAddress, byRequest: for the audit, also when it is not there: the
--         caller then deletes its copies
-- answer  1 | 0: it is not there, or not finished

local id = args.id
local status = readJob(id, 'status').status
if status ~= '' and not isFinished(status) then return 0 end
audit('job.deleted', id, args.project)
if redis.call('EXISTS', jobKey(id)) == 0 then return 0 end
note('d', id) -- first: when Redis refuses this, nothing is deleted
approvals.remove(id)
redis.call('DEL', jobKey(id), eventsKey(id), messages.key(id))
return 1
