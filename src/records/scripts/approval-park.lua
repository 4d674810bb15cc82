-- APPROVAL_PARK: how the CLI waits for an approval from now on.
-- args    id, waits, callId (of the call that waits, if it is another one now)
-- answer  1

if approvals.read(args.id, 'status').status ~= '' then
  redis.call('HSET', approvals.key(args.id), 'waits', args.waits)
  if args.callId then redis.call('HSET', approvals.key(args.id), 'callId', args.callId) end
end
return 1
