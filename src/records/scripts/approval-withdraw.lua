-- APPROVAL_WITHDRAW: the CLI does not wait for an approval any longer.
-- args    id
-- answer  1

local id = args.id
local approval = approvals.read(id, 'status', 'job', 'session', 'used')
if approval.status == '' then
  redis.call('ZREM', PENDING, id)
  return 1
end
redis.pcall('SREM', approvals.unansweredKey(approval.session), id)
if approval.used == '' then redis.call('HSET', approvals.key(id), 'used', 'withdrawn') end
if approval.status == 'pending' then
  approvals.close(id, 'cancelled')
  answerSession(approval.job, id)
  answered(approval.job)
end
return 1
