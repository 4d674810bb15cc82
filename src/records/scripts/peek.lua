-- PEEK: jobs that CLAIM would find next: those that the node was given, then some of the ready
-- ones, without their fair order. Changes no job.
-- args    node, max, roots (as of CLAIM), maxBytes (longer requests are left out)
-- answer  of each: {id, principal, request (JSON), project, grant (JSON),
--         signature}

-- Sorts {id, score} by score, then id.
local function bestFirst(a, b) if a[2] == b[2] then return a[1] < b[1] end return a[2] < b[2] end
local node, max, roots = args.node, tonumber(args.max), rootsOf(args.roots)
local ids = redis.call('ZRANGE', givenKey(node), 0, max - 1)
local best = {}
for _, name in ipairs(redis.call('SMEMBERS', P .. ':ready')) do
  local found = redis.call('ZRANGE', readyKey(name), 0, max - 1, 'WITHSCORES')
  for i = 1, #found, 2 do best[#best + 1] = { found[i], tonumber(found[i + 1]) } end
end
table.sort(best, bestFirst)
for _, entry in ipairs(best) do ids[#ids + 1] = entry[1] end
local limits = limitsOf(node)
local found = {}
for i = 1, #ids do
  if #found >= max then break end
  local id = ids[i]
  local job = readJob(id, 'status', 'pin', 'cwd', 'provider', 'model', 'onQuota', 'executionId', 'score')
  if job.status == 'queued' and not waitsForLimit(limits, job)
    and mayRun(node, roots, job.cwd, job.pin)
    and redis.call('HSTRLEN', jobKey(id), 'request') <= tonumber(args.maxBytes) then
    local granted = readJob(id, 'principal', 'owner', 'request', 'project', 'grant',
      'signature')
    found[#found + 1] = { id, principalOf(granted), granted.request, granted.project, granted.grant,
      granted.signature }
  end
end
return found
