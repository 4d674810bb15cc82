-- IDENTIFY: a CLI has reported the account of a credential. The gates of the name without it become
-- those of the account; where both have one, the later counts.
-- args    name, account (names without and with it), node, credentials (JSON: those of the node)
-- answer  1

redis.call('HSET', ACCOUNTS, args.name, args.account)
redis.call('HSET', CREDENTIALS, args.node, args.credentials)
local model = read(MODELS, args.name)[args.name]
if model ~= '' then redis.call('HSET', MODELS, args.account, model) end
for _, kind in ipairs({ CREDENTIAL, RESERVE }) do
  local known = gatesOf(args.account, kind)
  for word, gate in pairs(gatesOf(args.name, kind)) do
    redis.call('HDEL', GATES, gate.name)
    noteGate(gate.name)
    if not known[word] or known[word].opensAt < gate.opensAt then
      gate.name = gateName(args.account, word, kind)
      noteGate(gate.name, gate.reason, gate.opensAt)
      saveGate(gate)
    end
  end
end
return 1
