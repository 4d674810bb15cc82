-- CREATE: makes a job, unless its idempotency key already has one.
-- args    the fields of createJob in jobs.lua; by, byAddress, byRequest: as of `audit` in
--         prelude.lua; ring (whether the nodes look for ready jobs now,
--         because BullMQ does not deliver this one at once); with a key: key, fingerprint,
--         keyForMs, deleted (the id of the key's job, when that was deleted: the new job takes its
--         place); limited (whether the caller's limits count)
-- answer  {'created'}, and with a limit of jobs an hour what is left of it: limit, remaining,
--         resetMs
--         | {'replayed', job} | {'mismatch'}: the key was used for another request
--         | {'closed'}: its session is closed | {'limited', ...}: as of takeJobs in limits.lua

if args.key then
  local prior = remembered(args.key)
  if prior.job ~= '' then
    if prior.print ~= args.fingerprint then return { 'mismatch' } end
    if prior.job ~= args.deleted then return { 'replayed', prior.job } end
  end
end
if isClosed(args.sessionId) then return { 'closed' } end
local window
if args.limited then
  local refusal
  refusal, window = takeJobs(holdersOf(args.project, payerOf(args.principal)), 1)
  if refusal then return limitedAnswer(refusal) end
end
if args.key then remember(args.key, args.id, args.fingerprint, args.keyForMs) end
createJob(args)
if args.retryOf then
  audit('job.retried', args.id, args.project, cjson.encode({ retryOf = args.retryOf }))
else
  audit('job.created', args.id, args.project)
end
if args.ring then ring('run', args.id) end
return createdAnswer(window)
