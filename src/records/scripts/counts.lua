-- COUNTS: how many jobs wait, and where. Changes nothing.
-- answer  {ready or given, parked, scheduled, running, nodes, pending approvals}

local pending = 0
for _, name in ipairs(redis.call('SMEMBERS', P .. ':ready')) do
  pending = pending + redis.call('ZCARD', readyKey(name))
end
for _, node in ipairs(redis.call('ZRANGE', P .. ':nodes', 0, -1)) do
  pending = pending + redis.call('ZCARD', givenKey(node))
end
redis.call('XLEN', P .. ':log') -- only its error counts: /ready reports a log that is no stream
local function count(set) return redis.call('ZCARD', P .. set) end
return { pending, count(':parked'), count(':due'), count(':running'), count(':nodes'),
  count(':approvals') }
