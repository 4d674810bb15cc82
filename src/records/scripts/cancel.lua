-- CANCEL: ends a job that does not run; asks the node of a running one to stop it, or its turn.
-- args    id, force, interrupt (whether the process may go on for its session), outcome (JSON); by,
--         byAddress, byRequest; of a message that acts once: session, messageId
-- answer  {'gone'} | {'finished', status}: it had ended before | {'cancelled'} | {'requested'} |
--         {'repeated'}: the message has acted before

if args.messageId and not isNewMessage(args.session, args.messageId) then return { 'repeated' } end
local id = args.id
local job = readJob(id, 'status', 'cancel', 'project')
local function auditCancel()
  audit(args.interrupt and 'job.interrupted' or 'job.cancelled', id,
    job.project == '' and DEFAULT_PROJECT or job.project, args.force and '{"force":true}')
end
if job.status == '' then return { 'gone' } end
if isFinished(job.status) then return { 'finished', job.status } end
-- A later request can only ask for more.
local ORDER = { 'interrupt', 'requested', 'forced', interrupt = 1, requested = 2, forced = 3 }
local asked = args.force and 3 or (args.interrupt and 1 or 2)
local cancel = ORDER[math.max(asked, ORDER[job.cancel] or 0)]
if job.status ~= 'running' then
  redis.call('HSET', jobKey(id), 'cancel', args.interrupt and 'interrupt' or 'requested')
  settle(id, 'cancelled', withUsage(id, args.outcome))
  auditCancel()
  return { 'cancelled' }
end
if job.cancel ~= cancel then
  redis.call('HSET', jobKey(id), 'cancel', cancel)
  touch(id)
  auditCancel()
end
ring('cancel', id)
return { 'requested' }
