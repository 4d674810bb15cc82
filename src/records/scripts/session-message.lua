-- SESSION_MESSAGE: remembers the last messages of a session.
-- args    id, messageId; forget: it was not done, so it may come again
-- answer  1: it is new, or was forgotten | 0: it was seen, or was not there

local MAX_SEEN = 1000

local key = seenKey(args.id)
if args.forget then
  local removed = redis.pcall('ZREM', key, args.messageId)
  return isError(removed, 'WRONGTYPE') and 0 or removed
end
local added = redis.pcall('ZADD', key, 'NX', now, args.messageId)
if isError(added, 'WRONGTYPE') then
  redis.call('DEL', key)
  added = redis.call('ZADD', key, now, args.messageId)
end
redis.call('ZREMRANGEBYRANK', key, 0, -MAX_SEEN - 1)
redis.call('PEXPIRE', key, KEEP_SESSIONS_MS)
return added
