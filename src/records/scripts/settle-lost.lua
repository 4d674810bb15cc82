-- SETTLE_LOST: ends what silent nodes ran, and what only they may run.
-- args    absentMs (how long a node must be silent), lost (outcome, JSON, with
--         "executionId":null), unavailable (outcome, JSON), backoffMs (delay before a lost
--         execution is tried again)
-- answer  ids of the jobs whose execution, or which themselves, ended

local ids, silent = {}, {}

-- Ends the executions of a silent node whose leases are over. Returns whether a lease still
-- holds.
local function endExecutionsOf(node)
  local holds = false
  local leases = redis.call('ZRANGE', P .. ':running', 0, -1, 'WITHSCORES')
  for i = 1, #leases, 2 do
    local id = leases[i]
    local job = readJob(id, 'status', 'node', 'executionId')
    if job.status == 'running' and job.node == node then
      if tonumber(leases[i + 1]) > now then
        holds = true
      else
        local named = '"executionId":' .. cjson.encode(job.executionId)
        local lost = string.gsub(args.lost, '"executionId":null', function() return named end, 1)
        endExecution(id, job.executionId, {
          status = 'failed',
          outcome = lost,
          jobOutcome = withUsage(id, lost),
          retryable = true,
          interrupted = true,
          lost = true,
          backoffMs = args.backoffMs,
        })
        -- The node may still report this execution: too late.
        redis.call('HSET', jobKey(id), 'endedAs', 'superseded')
        ids[#ids + 1] = id
      end
    end
  end
  return holds
end

for _, node in ipairs(redis.call('ZRANGEBYSCORE', P .. ':nodes', '-inf', now - args.absentMs)) do
  silent[node] = true
  takeBackFrom(node)
  if not endExecutionsOf(node) then
    redis.call('ZREM', P .. ':nodes', node)
    redis.call('HDEL', CREDENTIALS, node)
    redis.call('HDEL', VERSIONS, node)
  end
end

-- Terminals of a node that is silent, or that has left.
local terminals = redis.call('HGETALL', TERMINALS)
for i = 1, #terminals, 2 do
  local id, node = terminals[i], terminals[i + 1]
  if silent[node] or not redis.call('ZSCORE', P .. ':nodes', node) then
    redis.call('HDEL', TERMINALS, id)
    if moveSession(id, 'failed', 'execution.node_unavailable') then touchSession(id) end
  end
end

-- Jobs pinned to a node that is silent, or that has left (LEAVE sets their time), or never was, and
-- has not come for as long.
local pinned = redis.call('ZRANGE', P .. ':pinned', 0, -1, 'WITHSCORES')
for i = 1, #pinned, 2 do
  local id, since = pinned[i], tonumber(pinned[i + 1])
  local job = readJob(id, 'status', 'pin')
  if job.status == '' or isFinished(job.status) then
    redis.call('ZREM', P .. ':pinned', id)
  elseif silent[job.pin]
    or (since <= now - args.absentMs and not redis.call('ZSCORE', P .. ':nodes', job.pin)) then
    settle(id, 'failed', withUsage(id, args.unavailable))
    ids[#ids + 1] = id
  end
end
return ids
