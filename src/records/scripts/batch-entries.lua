-- BATCH_ENTRIES: a batch as it was made.
-- args    id
-- answer  {} | {project, principal, createdAt, entries (JSON)}

if redis.call('HEXISTS', batchKey(args.id), 'createdAt') == 0 then return {} end
local batch = read(batchKey(args.id), 'createdAt', 'project', 'principal', 'owner', 'entries')
local project = batch.project == '' and DEFAULT_PROJECT or batch.project
return { project, principalOf(batch), batch.createdAt, batch.entries }
