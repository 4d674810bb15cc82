-- CHANGE: changes what a caller may change of a job at any time. Repeating it changes nothing.
-- args    id, tags (JSON), metadata (JSON), archived ('1' or '0'); only those that change
--         patch (JSON): the change, for the copies of a job that Redis no longer has
-- answer  1 | 0: Redis no longer has the job, and the log has the patch

local id = args.id
local job = readJob(id, 'status', 'tags', 'metadata', 'archived')
if job.status == '' then
  note('c', id, args.patch)
  return 0
end
local changed = false
for _, name in ipairs({ 'tags', 'metadata', 'archived' }) do
  if args[name] and args[name] ~= job[name] then
    redis.call('HSET', jobKey(id), name, args[name])
    changed = true
  end
end
if changed then touch(id, isFinished(job.status) and 'c' or 'j') end
return 1
