-- JOIN: registers a node that starts, unless a node runs whose records have another form.
-- args    node, version, host (both for people), absentMs (a node that was silent for so long is
--         gone)
-- answer  {} | {node, version, host} of that node; '' for what it did not say

local live = redis.call('ZRANGEBYSCORE', P .. ':nodes', now - args.absentMs, '+inf')
for _, node in ipairs(live) do
  local ok, about = pcall(cjson.decode, read(VERSIONS, node)[node])
  if not ok or type(about) ~= 'table' then about = {} end
  if node ~= args.node and about.records ~= RECORDS then
    return { node, tostring(about.version or ''), tostring(about.host or '') }
  end
end
redis.call('ZADD', P .. ':nodes', now, args.node)
local about = { records = RECORDS, version = args.version, host = args.host }
redis.call('HSET', VERSIONS, args.node, cjson.encode(about))
-- The limits of the settings may be others than before.
for _, gate in ipairs(redis.call('HKEYS', GATES)) do
  if startsWith(gate, 'budget:') then weighBudget(string.sub(gate, 8)) end
end
for project in pairs(PROJECT_LIMITS) do weighBudget(project) end
return {}
