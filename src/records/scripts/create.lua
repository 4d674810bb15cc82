-- CREATE: makes a job, unless its idempotency key already has one.
-- args    the fields of createJob in jobs.lua; ring (whether the nodes look for ready jobs now,
--         because BullMQ does not deliver this one at once); with a key: key, fingerprint,
--         keyForMs, deleted (the id of the key's job, when that was deleted: the new job takes its
--         place)
-- answer  {'created'} | {'replayed', job} | {'mismatch'}: the key was used for another request

if args.key then
  local prior = remembered(args.key)
  if prior.job ~= '' then
    if prior.print ~= args.fingerprint then return { 'mismatch' } end
    if prior.job ~= args.deleted then return { 'replayed', prior.job } end
  end
  remember(args.key, args.id, args.fingerprint, args.keyForMs)
end
createJob(args)
if args.ring then ring('run', args.id) end
return { 'created' }
