-- REVOKE: ends jobs that do not run, because the key that made them no longer counts.
-- args    outcome (JSON)
-- list    ids
-- answer  the ids of those that ended now

local ids = {}
for i = listAt, #ARGV do
  local id = ARGV[i]
  local status = readJob(id, 'status').status
  if status ~= '' and status ~= 'running' and not isFinished(status) then
    settle(id, 'failed', withUsage(id, args.outcome))
    ids[#ids + 1] = id
  end
end
return ids
