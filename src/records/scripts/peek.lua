-- PEEK: the requests that CLAIM would find next. Changes nothing.
-- args    node, max, roots (as of CLAIM), maxBytes (longer requests are left out)
-- answer  requests (JSON), best first

local node, max, roots = args.node, tonumber(args.max), rootsOf(args.roots)
local best = {}
for _, pin in ipairs({ '', node }) do
  local found = redis.call('ZRANGE', pendingKey(pin), 0, max - 1, 'WITHSCORES')
  for i = 1, #found, 2 do best[#best + 1] = { found[i], tonumber(found[i + 1]) } end
end
table.sort(best, bestFirst)
local limits = limitsOf(node)
local requests = {}
for i = 1, math.min(#best, max) do
  local id = best[i][1]
  local job = readJob(id, 'status', 'pin', 'cwd', 'provider')
  if job.status == 'queued' and not isLimited(limits, job.provider) and mayRun(node, roots, job.cwd, job.pin)
    and redis.call('HSTRLEN', jobKey(id), 'request') <= tonumber(args.maxBytes) then
    requests[#requests + 1] = redis.call('HGET', jobKey(id), 'request') or ''
  end
end
return requests
