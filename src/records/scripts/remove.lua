-- REMOVE: deletes a finished job, or a key in its place that is no record, with its events.
-- args    id; project, by, byAddress, byRequest: for the audit, also when it is not there: then the
--         copies are deleted
-- answer  1 | 0: it is not there, or not finished

local id = args.id
local status = readJob(id, 'status').status
if status ~= '' and not isFinished(status) then return 0 end
audit('job.deleted', id, args.project)
local exists = redis.call('EXISTS', jobKey(id)) == 1
-- First: when Redis refuses this, nothing is deleted. Each node deletes its copy when it reads it.
if exists or args.by then note('d', id) end
if not exists then return 0 end
approvals.remove(id)
redis.call('DEL', jobKey(id), eventsKey(id), messages.key(id))
return 1
