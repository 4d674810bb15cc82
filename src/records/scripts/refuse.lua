-- REFUSE: closes the gate of a credential that the vendor refused. The later reset wins. A refusal
-- of an execution from before the gate was opened changes nothing. A refused login takes the place
-- of a limit only if its execution tried the gate: the jobs that wait for the limit would fail.
-- args    credential, word ('' for all models), reason, executionId, enteredAt (as of ENTER);
--         if known: resetsAt (ms), model (that ran); firstMs (the wait without a reset; it doubles
--         with each refusal in a row), maxMs, maxResetMs (a later reset counts as this far away)
-- answer  when the next job may try (ms)

local gates = gatesOf(args.credential)
for word, other in pairs(gates) do
  if word ~= args.word and other.probe == args.executionId then
    other.probe = nil
    saveGate(other)
  end
end
if args.model then redis.call('HSET', MODELS, args.credential, args.model) end

local name, gate = gateName(args.credential, args.word), gates[args.word]
if not gate and tonumber(args.enteredAt) < number(read(OPENED, name)[name], 0) then return now end
local tried = gate ~= nil and gate.probe == args.executionId
local keepsLimit = gate ~= nil and gate.reason == 'quota' and not tried
local reason = keepsLimit and 'quota' or args.reason
local refusals = gate and gate.refusals or 0
-- All executions that ran when the gate was closed count as one refusal.
if tried or not gate then refusals = refusals + 1 end
local reset, opensAt = tonumber(args.resetsAt), gate and gate.opensAt or now
if reset and reset > now then
  opensAt = math.max(opensAt, math.min(reset, now + args.maxResetMs))
elseif tried or not gate then
  opensAt = now + math.min(args.firstMs * 2 ^ math.min(refusals - 1, 20), args.maxMs)
end
if not gate or gate.opensAt ~= opensAt then noteGate(name, reason, opensAt) end
saveGate({
  name = name, reason = reason, since = gate and gate.since or now, opensAt = opensAt,
  refusals = refusals, probe = not tried and gate and gate.probe or nil,
  probeUntil = gate and gate.probeUntil,
})
return opensAt < math.huge and opensAt or -1
