-- NODES: the nodes that have a heartbeat. Changes nothing.
-- answer  of each node {id, heartbeat (ms), running, given, free (slots; '': it takes no jobs)}

local running = {}
for _, id in ipairs(redis.call('ZRANGE', P .. ':running', 0, -1)) do
  local node = readJob(id, 'node').node
  running[node] = (running[node] or 0) + 1
end
local nodes, all = {}, redis.call('ZRANGE', P .. ':nodes', 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
  local node, slots = all[i], slotsOf(all[i])
  nodes[#nodes + 1] = { node, all[i + 1], running[node] or 0,
    redis.call('ZCARD', givenKey(node)), slots and tostring(slots.free) or '' }
end
return nodes
