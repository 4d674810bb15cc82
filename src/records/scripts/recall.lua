-- RECALL: finds the job or batch of an idempotency key. Changes nothing.
-- args    key, fingerprint
-- answer  {} | {'mismatch'}: the key was used for another request
--         | {'replayed', id, entries, added}: for a batch its entries (JSON) and the number of
--         its jobs that were made; entries is '' for a job, and for a batch that is gone

local prior = remembered(args.key)
if prior.job == '' then return {} end
if prior.print ~= args.fingerprint then return { 'mismatch' } end
local entries = read(batchKey(prior.job), 'entries').entries
return { 'replayed', prior.job, entries, redis.call('LLEN', membersKey(prior.job)) }
