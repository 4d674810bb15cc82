-- RELEASE: ends a try of a credential, or opens its gates by hand.
-- args    credential, opens (whether its gates open; if not, the next job tries), jobId (for the
--         doorbell); executionId (the one that tried; none: by hand)
-- answer  how many gates were opened

local opened, changed = 0, false
for _, gate in pairs(gatesOf(args.credential)) do
  if not args.executionId or gate.probe == args.executionId then
    changed = true
    if args.opens then
      redis.call('HDEL', GATES, gate.name)
      redis.call('HSET', OPENED, gate.name, now)
      opened = opened + 1
    else
      gate.probe = nil
      saveGate(gate)
    end
  end
end
if not args.executionId then
  for _, gate in pairs(gatesOf(args.credential, RESERVE)) do
    redis.call('HDEL', GATES, gate.name)
    changed, opened = true, opened + 1
  end
end
if changed then ring('run', args.jobId) end
return opened
