-- BATCH_READ: the jobs of a batch, and the status and the project of each.
-- args    id
-- answer  {} | {project, principal, createdAt, ids, statuses, refused, projects}: the status of a
--         job without a record is ''; `refused` prompts got no job

-- Another type of key is an error here: the caller asked for this batch alone.
if redis.call('HEXISTS', batchKey(args.id), 'createdAt') == 0 then return {} end
local batch = read(batchKey(args.id), 'createdAt', 'project', 'principal', 'owner', 'refused')
local ids, statuses, projects = redis.call('LRANGE', membersKey(args.id), 0, -1), {}, {}
local function named(project) return project == '' and DEFAULT_PROJECT or project end
for i, id in ipairs(ids) do
  local job = readJob(id, 'status', 'project')
  statuses[i], projects[i] = job.status, named(job.project)
end
return { named(batch.project), principalOf(batch), batch.createdAt, ids, statuses,
  number(batch.refused, 0), projects }
