-- NODE_ANSWER: keeps the answer to a question for the node that asked, and rings there.
-- args    id, from (that node), text (JSON), keepMs
-- answer  1

redis.call('SET', P .. ':answer:' .. args.id, args.text, 'PX', args.keepMs)
redis.call('PUBLISH', P .. ':live:answers:' .. args.from, args.id)
return 1
