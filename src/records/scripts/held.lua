-- HELD: BullMQ has these jobs; UNDELIVERED leaves them alone until later.
-- args    againInMs
-- list    ids
-- answer  1

for i = listAt, #ARGV do
  redis.call('ZADD', P .. ':awaiting', 'XX', now + args.againInMs, ARGV[i])
end
return 1
