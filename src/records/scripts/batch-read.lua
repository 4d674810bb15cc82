-- BATCH_READ: the jobs of a batch and the status of each.
-- args    id
-- answer  {} | {project, principal, createdAt, ids, statuses, refused}: the status of a job
--         without a record is ''; `refused` prompts got no job

-- Another type of key is an error here: the caller asked for this batch alone.
if redis.call('HEXISTS', batchKey(args.id), 'createdAt') == 0 then return {} end
local batch = read(batchKey(args.id), 'createdAt', 'project', 'principal', 'owner', 'refused')
local ids, statuses = redis.call('LRANGE', membersKey(args.id), 0, -1), {}
for i, id in ipairs(ids) do statuses[i] = readJob(id, 'status').status end
local project = batch.project == '' and DEFAULT_PROJECT or batch.project
return { project, principalOf(batch), batch.createdAt, ids, statuses, number(batch.refused, 0) }
