-- RELEASE: ends a try of a credential, or opens its gates by hand.
-- args    credential, opens (whether its gates open; if not, the next job tries), jobId (for the
--         doorbell); executionId (the one that tried; none: by hand); by, byAddress, byRequest
-- answer  how many gates were opened

local opened, changed = 0, false
for _, gate in pairs(gatesOf(args.credential)) do
  if not args.executionId or gate.probe == args.executionId then
    changed = true
    if args.opens then
      redis.call('HDEL', GATES, gate.name)
      redis.call('HSET', OPENED, gate.name, now)
      noteGate(gate.name)
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
    noteGate(gate.name)
  end
end
if opened > 0 then audit('provider.resumed', args.credential) end
-- By hand: the jobs that wait for a limit no longer wait for its time.
for _, id in ipairs(opened > 0 and not args.executionId and redis.call('ZRANGE', P .. ':due', 0, -1) or {}) do
  local job = readJob(id, 'status', 'waitReason', 'attempt')
  if job.status == 'scheduled' and job.waitReason == 'quota' then
    becomeDue(id, number(job.attempt, 0))
    touch(id)
  end
end
if changed then ring('run', args.jobId) end
return opened
