-- BATCH_OPEN: registers a batch without its jobs, unless its idempotency key already has one.
-- Adds it to the log ('b').
-- args    id, project, principal, createdAt, entries (JSON), refused (how many of them),
--         keepMs; details (JSON), by, byAddress, byRequest: for the audit; with a key: key,
--         fingerprint, keyForMs
-- list    the ids of its jobs
-- answer  {'created'}, and as of CREATE what is left of a limit | {'limited', ...}: as of CREATE
--         | {'mismatch'}: the key was used for another request
--         | {'replayed', id, entries, added}: as of RECALL

if args.key then
  local prior = remembered(args.key)
  if prior.job ~= '' then
    if prior.print ~= args.fingerprint then return { 'mismatch' } end
    local entries = read(batchKey(prior.job), 'entries').entries
    if entries ~= '' then
      return { 'replayed', prior.job, entries, redis.call('LLEN', membersKey(prior.job)) }
    end
  end
end
local count, holders = #ARGV - listAt + 1, holdersOf(args.project, payerOf(args.principal))
local refusal, window = takeJobs(holders, count)
if refusal then return limitedAnswer(refusal) end
for _, holder in ipairs(holders) do
  -- BATCH_ADD makes the jobs. No other batch takes their room before that.
  for i = listAt, limitOf(holder, 'maxQueued') and #ARGV or 0 do
    redis.call('SADD', queuedKey(holder), ARGV[i])
  end
end
if args.key then
  remember(args.key, args.id, args.fingerprint, args.keyForMs)
end
redis.call('HSET', batchKey(args.id), 'project', args.project, 'principal', args.principal,
  'createdAt', args.createdAt, 'entries', args.entries, 'refused', args.refused)
redis.call('PEXPIRE', batchKey(args.id), math.max(KEEP_MS, tonumber(args.keepMs)))
note('b', args.id)
audit('batch.created', args.id, args.project, args.details)
return createdAnswer(window)
