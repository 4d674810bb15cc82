-- LEAVE: a node stops. The others need not wait for its heartbeat.
-- args    node
-- answer  1

redis.call('ZREM', P .. ':nodes', args.node)
takeBackFrom(args.node)
-- What only it may run waits for its return from now on.
for _, id in ipairs(redis.call('ZRANGE', P .. ':pinned', 0, -1)) do
  if readJob(id, 'pin').pin == args.node then redis.call('ZADD', P .. ':pinned', now, id) end
end
redis.call('HDEL', CREDENTIALS, args.node)
redis.call('HDEL', VERSIONS, args.node)
if redis.call('GET', P .. ':raw') == args.node then redis.call('DEL', P .. ':raw') end
return 1
