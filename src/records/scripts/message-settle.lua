-- MESSAGE_SETTLE: what became of a message, or takes it back.
-- args    jobId, id, as ('steered' | 'refused' | 'withdrawn')
-- answer  1 | 0: it is not there, is settled, or cannot be taken back, because a node has it

local state = messages.stateOf(args.jobId, args.id)
local key = messages.key(args.jobId)
if args.as == 'withdrawn' then
  if state ~= 'sent' and state ~= 'refused' then return 0 end
  redis.call('HDEL', key, args.id)
  return 1
end
if state ~= 'sent' and state ~= 'taken' then return 0 end
redis.call('HSET', key, args.id, args.as)
announce('talk', args.jobId, args.as)
return 1
