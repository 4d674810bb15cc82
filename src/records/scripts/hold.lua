-- HOLD: closes or opens a gate by hand. Repeating it changes nothing.
-- args    gate (as in gates.lua, but of no credential), closes (if not, it opens); by, byAddress,
--         byRequest
-- answer  1 | 0: it was so before

local known = redis.call('HEXISTS', GATES, args.gate) == 1
if known == (args.closes ~= nil) then return 0 end
if args.closes then
  redis.call('HSET', GATES, args.gate, cjson.encode({ reason = 'paused', since = now }))
  noteGate(args.gate, 'paused')
else
  redis.call('HDEL', GATES, args.gate)
  noteGate(args.gate)
end
local kind, name = string.match(args.gate, '^(%a+):?(.*)$')
local action = kind == 'node' and (args.closes and 'node.drained' or 'node.resumed')
  or (args.closes and 'queue.paused' or 'queue.resumed')
audit(action, kind == 'node' and name or args.gate, kind == 'project' and name)
-- The nodes give back what they were given, or look for what they may run now.
ring('run', '-')
return 1
