-- KEY_PUT: stores a caller's key, unless the record that is there is as new. The version names the
-- state of all keys.
-- args    id, rev, record (JSON with `rev`), version (a new name), project; limits (JSON: those
--         that it has, as of limits.lua); of an act: action, details (JSON), by, byAddress,
--         byRequest; with an Idempotency-Key: key, fingerprint, keyForMs
-- answer  {'stored'} | {'outdated'} | {'mismatch'}: the key was used for another request
--         | {'replayed', id}

if args.key then
  local prior = remembered(args.key)
  if prior.job ~= '' then
    if prior.print ~= args.fingerprint then return { 'mismatch' } end
    return { 'replayed', prior.job }
  end
end
local keys = P .. ':keys'
local isJson, known = pcall(cjson.decode, read(keys, args.id)[args.id])
local rev = isJson and type(known) == 'table' and tonumber(known.rev) or 0
if rev >= tonumber(args.rev) then return { 'outdated' } end
if args.key then remember(args.key, args.id, args.fingerprint, args.keyForMs) end
redis.call('HSET', keys, args.id, args.record)
local principal = 'key:' .. args.id
local limits = read(KEY_LIMITS, principal)[principal]
if limits ~= (args.limits or '') then
  if args.limits then redis.call('HSET', KEY_LIMITS, principal, args.limits)
  else redis.call('HDEL', KEY_LIMITS, principal) end
  weighBudget(args.project .. '|' .. principal)
  ring('run', '-') -- its jobs may be allowed to start now
end
redis.call('SET', keys .. ':version', args.version)
redis.call('PUBLISH', P .. ':live:keys', args.id)
audit(args.action, args.id, args.project, args.details)
return { 'stored' }
