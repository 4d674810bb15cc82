-- REMOVED: BullMQ no longer has entries for these ended jobs.
-- list    ids
-- answer  1

for i = listAt, #ARGV do
  if readJob(ARGV[i], 'status').status ~= 'queued' then redis.call('ZREM', P .. ':released', ARGV[i]) end
end
return 1
