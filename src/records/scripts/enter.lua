-- ENTER: asks before a spawn whether the credential may be used. After the gate's time the
-- execution becomes the one that tries it.
-- args    credential, model ('' for none), executionId
-- answer  {'open', now} | {'trying', now}: the others wait for its answer
--         | {'closed', reason, since, until}: until is -1 when it is not known

local gates, model = gatesOf(args.credential), modelFor(args.credential, args.model)
local gate = gateBefore(gates, model, args.executionId)
if not gate then
  return { tryGates(gates, model, args.executionId) and 'trying' or 'open', now }
end
local opensAt = math.max(gate.opensAt, gate.probe and gate.probeUntil or 0)
return { 'closed', gate.reason, gate.since, opensAt < math.huge and opensAt or -1 }
