-- APPROVAL_TAKE: takes the decision for the CLI; only one call gets it. A call that waits in the
-- session of the CLI although its approval is over is denied to any later job of the session.
-- args    id, executionId, call (names this call, which may be repeated)
-- answer  {} : it is pending, or was used | {'over'}: deny it | {'decided', ...}: the fields of the
--         approval, as of HGETALL

local id, key = args.id, approvals.key(args.id)
local approval = approvals.read(id, 'status', 'job', 'session', 'used')
local use = args.executionId .. ' ' .. args.call
if approval.status == '' or approval.status == 'pending' then return {} end
if approval.used ~= '' and approval.used ~= use then return {} end
local again = approval.used ~= ''
local job = readJob(approval.job, 'status', 'executionId')
local isOurs = job.status == 'running' and job.executionId == args.executionId
local isOver = redis.pcall('SREM', approvals.unansweredKey(approval.session), id) == 1
if not isOver and isOurs and (approval.status == 'allowed' or approval.status == 'denied') then
  redis.call('HSET', key, 'used', use)
  return { 'decided', unpack(redis.call('HGETALL', key)) }
end
if not isOver and not again then return {} end
redis.call('HSET', key, 'used', use)
return { 'over' }
