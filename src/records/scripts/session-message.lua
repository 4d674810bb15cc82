-- SESSION_MESSAGE: remembers the last messages of a session.
-- args    id, messageId
-- answer  1: it is new | 0: it was seen

local MAX_SEEN = 1000

local key = seenKey(args.id)
local added = redis.pcall('ZADD', key, 'NX', now, args.messageId)
if isError(added, 'WRONGTYPE') then
  redis.call('DEL', key)
  added = redis.call('ZADD', key, now, args.messageId)
end
redis.call('ZREMRANGEBYRANK', key, 0, -MAX_SEEN - 1)
redis.call('PEXPIRE', key, KEEP_SESSIONS_MS)
return added
