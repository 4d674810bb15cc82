-- RENEW: a node's heartbeat, and new leases for its executions.
-- args    node, leaseMs; credentials (JSON: the credential of each provider)
-- list    id, executionId of each execution
-- answer  of each: 'held' | 'interrupt' | 'cancel' | 'cancel-force' | 'lost'

redis.call('ZADD', P .. ':nodes', now, args.node)
-- Others may have taken it for lost.
redis.call('HSETNX', VERSIONS, args.node, cjson.encode({ records = RECORDS }))
if args.credentials then redis.call('HSET', CREDENTIALS, args.node, args.credentials) end
local LEASE_STATES = { [''] = 'held', interrupt = 'interrupt', forced = 'cancel-force' }
local states = {}
for i = listAt, #ARGV, 2 do
  local id = ARGV[i]
  local job = readJob(id, 'status', 'executionId', 'node', 'cancel')
  local state = 'lost'
  if job.status == 'running' and job.executionId == ARGV[i + 1] and job.node == args.node then
    redis.call('ZADD', P .. ':running', now + args.leaseMs, id)
    state = LEASE_STATES[job.cancel] or 'cancel'
  end
  states[#states + 1] = state
end
return states
