-- NODE_TAKE: takes questions off the list of a node, oldest first: only one call gets each.
-- args    node, limit
-- answer  {now (ms), their texts}

local asks = redis.pcall('LPOP', P .. ':asks:' .. args.node, args.limit)
return { now, type(asks) == 'table' and not asks.err and asks or {} }
