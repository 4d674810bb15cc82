-- NODE_ASK: puts a question on the list of a node, and rings.
-- args    node, text (JSON), keepMs (how long it is kept without another one)
-- answer  1

local key = P .. ':asks:' .. args.node
if isError(redis.pcall('RPUSH', key, args.text), 'WRONGTYPE') then
  redis.call('DEL', key)
  redis.call('RPUSH', key, args.text)
end
redis.call('PEXPIRE', key, args.keepMs)
redis.call('PUBLISH', P .. ':live:asks:' .. args.node, '')
return 1
