-- LEAVE: a node stops. The others need not wait for its heartbeat.
-- args    node
-- answer  1

redis.call('ZREM', P .. ':nodes', args.node)
takeBackFrom(args.node)
redis.call('HDEL', CREDENTIALS, args.node)
redis.call('HDEL', VERSIONS, args.node)
if redis.call('GET', P .. ':raw') == args.node then redis.call('DEL', P .. ':raw') end
return 1
