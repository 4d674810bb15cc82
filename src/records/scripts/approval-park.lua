-- APPROVAL_PARK: how the CLI waits for an approval from now on.
-- args    id, waits
-- answer  1

if approvals.read(args.id, 'status').status ~= '' then
  redis.call('HSET', approvals.key(args.id), 'waits', args.waits)
end
return 1
