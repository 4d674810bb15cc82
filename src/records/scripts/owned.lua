-- OWNED: the executions that a node runs according to the records.
-- args    node
-- answer  of each: {id, executionId, attempt, kind, principal, sessionId, request, project,
--         grant, signature}

local owned = {}
for _, id in ipairs(redis.call('ZRANGE', P .. ':running', 0, -1)) do
  local job = readJob(id, 'status', 'node', 'executionId', 'attempt', 'kind', 'principal', 'owner',
    'sessionId', 'request', 'project', 'grant', 'signature')
  if job.status ~= 'running' then
    redis.call('ZREM', P .. ':running', id)
  elseif job.node == args.node then
    owned[#owned + 1] = { id, job.executionId, number(job.attempt, 1), job.kind, principalOf(job),
      job.sessionId, job.request, job.project, job.grant,
      job.signature }
  end
end
return owned
