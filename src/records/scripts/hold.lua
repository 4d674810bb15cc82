-- HOLD: closes or opens a gate by hand. Repeating it changes nothing.
-- args    gate (as in gates.lua, but of no credential), closes (if not, it opens)
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
-- The nodes give back what they were given, or look for what they may run now.
ring('run', '-')
return 1
