-- APPROVAL_DECIDE: decides a pending approval. A job that waits for a person goes on when none of
-- its approvals is pending any longer.
-- args    id, status ('allowed' or 'denied'), decision (JSON), scope, signature, decidedBy; by,
--         byAddress, byRequest
-- list    rules for its session: each with its signature, '' for none
-- answer  'gone' | 'over': it is not pending | 'decided'

local id = args.id
local approval = approvals.read(id, 'status', 'job', 'project', 'session')
if approval.status == '' then return 'gone' end
local job = readJob(approval.job, 'status', 'attempt')
if approval.status == 'pending' and job.status ~= 'running' and job.status ~= 'waiting' then
  approvals.close(id, 'cancelled')
  return 'over'
end
if approval.status ~= 'pending' then return 'over' end
redis.call('HSET', approvals.key(id), 'status', args.status, 'decision', args.decision,
  'scope', args.scope, 'signature', args.signature or '', 'decidedBy', args.decidedBy or '',
  'decidedAt', now, 'attempt', number(job.attempt, 0))
redis.call('ZREM', PENDING, id)
approvals.touch(id)
audit('approval.decided', id, approval.project,
  cjson.encode({ jobId = approval.job, status = args.status }))
approvals.emitEnd(id, approval.job, args.status, args.decidedBy)
answerSession(approval.job, id)
for i = listAt, #ARGV, 2 do addSessionRule(approval.session, ARGV[i], ARGV[i + 1]) end
answered(approval.job)
if job.status == 'running' then ring('talk', approval.job) end
return 'decided'
