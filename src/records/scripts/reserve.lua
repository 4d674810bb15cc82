-- RESERVE: keeps jobs with a negative priority from using the rest of a credential's limit. The
-- later reset wins.
-- args    credential, word ('' for all models), resetsAt (ms), maxResetMs (a later reset counts as
--         this far away)
-- answer  1

local name = gateName(args.credential, args.word, RESERVE)
local gate = reserveOf(args.credential)[args.word]
local opensAt = math.min(tonumber(args.resetsAt), now + args.maxResetMs)
if opensAt > (gate and gate.opensAt or now) then
  noteGate(name, 'reserve', opensAt)
  saveGate({ name = name, reason = 'reserve', since = gate and gate.since or now, opensAt = opensAt })
end
return 1
