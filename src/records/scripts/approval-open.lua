-- APPROVAL_OPEN: opens an approval of the current execution, unless the job has one for this call.
-- args    id, jobId, executionId, callId, kind, tool, input, questions (JSON), asked (signature),
--         createdAt, expiresAt (ms), shown (JSON: what the event has besides ids and project)
-- answer  {} : it is not the current execution | {id, how many readers its job or session has}

local job = readJob(args.jobId, 'status', 'executionId', 'attempt', 'project', 'sessionId')
if job.status ~= 'running' or job.executionId ~= args.executionId then return {} end
local ofJob = approvals.ofKey(args.jobId)
local id = read(ofJob, args.callId)[args.callId]
if id == '' or approvals.read(id, 'status').status == '' then
  id = args.id
  local project = job.project == '' and DEFAULT_PROJECT or job.project
  if isError(redis.pcall('HSET', ofJob, args.callId, id), 'WRONGTYPE') then
    redis.call('DEL', ofJob)
    redis.call('HSET', ofJob, args.callId, id)
  end
  redis.call('HSET', approvals.key(id), 'job', args.jobId, 'session', job.sessionId,
    'project', project, 'callId', args.callId, 'kind', args.kind, 'tool', args.tool,
    'input', args.input, 'questions', args.questions or '', 'asked', args.asked or '',
    'createdAt', args.createdAt, 'expiresAt', args.expiresAt, 'status', 'pending', 'rev', 0,
    'waits', 'held', 'used', '')
  redis.call('ZADD', PENDING, args.expiresAt, id)
  emit(args.jobId, number(job.attempt, 1), {
    now,
    '{"kind":"approval.requested","approval":' .. '{"id":"' .. id .. '","jobId":"' .. args.jobId
      .. '","sessionId":' .. cjson.encode(job.sessionId) .. ',"project":' .. cjson.encode(project)
      .. ',' .. string.sub(args.shown, 2) .. '}',
    '',
  })
  approvals.touch(id)
  askSession(args.jobId, id)
end
local readers = 0
local live = redis.call('PUBSUB', 'NUMSUB', P .. ':live:' .. args.jobId,
  P .. ':live:s:' .. job.sessionId)
for i = 2, #live, 2 do readers = readers + live[i] end
return { id, readers }
