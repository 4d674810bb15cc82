-- REMOVE: deletes a finished job, or a key in its place that is no record, with its events.
-- args    id
-- answer  1 | 0: it is not there, or not finished

local id = args.id
local status = readJob(id, 'status').status
if status ~= '' and not isFinished(status) then return 0 end
if redis.call('EXISTS', jobKey(id)) == 0 then return 0 end
note('d', id) -- first: when Redis refuses this, nothing is deleted
redis.call('DEL', jobKey(id), eventsKey(id))
return 1
