/** The scripts of the sweeps: what was not delivered, what waited too long, who is gone. */

/** againInMs, limit */
export const UNDELIVERED = `
local out = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':awaiting', '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local r = fields(id, 'status', 'executionId')
  if (r[1] == 'queued' or r[1] == 'scheduled') and r[2] == '' then
    redis.call('ZADD', P .. ':awaiting', now + ARGV[1], id)
    out[#out + 1] = id
  else
    redis.call('ZREM', P .. ':awaiting', id)
  end
end
return out
`;

/** againInMs, ids */
export const HELD = `
for i = 2, #ARGV do redis.call('ZADD', P .. ':awaiting', 'XX', now + ARGV[1], ARGV[i]) end
return 1
`;

/** outcome, limit */
export const EXPIRE = `
local out = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':expiries', '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local status = fields(id, 'status')[1]
  if status == 'queued' or status == 'scheduled' then
    settle(id, 'failed', ARGV[1])
    out[#out + 1] = id
  else
    redis.call('ZREM', P .. ':expiries', id)
  end
end
return out
`;

/** absentMs, lostOutcome, unavailableOutcome, backoffMs */
export const SETTLE_LOST = `
local out, silent = {}, {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', P .. ':nodes', '-inf', now - ARGV[1])) do
  silent[node] = true
  local held = false
  local leases = redis.call('ZRANGE', P .. ':running', 0, -1, 'WITHSCORES')
  for i = 1, #leases, 2 do
    local id, k = leases[i], jobKey(leases[i])
    local r = fields(id, 'status', 'node', 'executionId')
    if r[1] == 'running' and r[2] == node then
      if tonumber(leases[i + 1]) > now then
        held = true
      else
        local lost = cjson.encode(r[3])
        endExecution(id, r[3], 'failed', (string.gsub(ARGV[2], '"executionId":null', function() return '"executionId":' .. lost end, 1)), true, tonumber(ARGV[4]))
        -- What its owner may still say comes too late.
        redis.call('HSET', k, 'endedAs', 'superseded')
        out[#out + 1] = id
      end
    end
  end
  if not held then redis.call('ZREM', P .. ':nodes', node) end
end
-- What only one node may run: it is silent, or it had left before it was asked and has not come for as long.
local pinned = redis.call('ZRANGE', P .. ':pinned', 0, -1, 'WITHSCORES')
for i = 1, #pinned, 2 do
  local id, since = pinned[i], tonumber(pinned[i + 1])
  local r = fields(id, 'status', 'pin')
  local pin = r[2]
  if not r[1] or finished(r[1]) then
    redis.call('ZREM', P .. ':pinned', id)
  elseif silent[pin] or (since <= now - ARGV[1] and not redis.call('ZSCORE', P .. ':nodes', pin)) then
    settle(id, 'failed', ARGV[3])
    out[#out + 1] = id
  end
end
return out
`;

/** node */
export const LEAVE = `
redis.call('ZREM', P .. ':nodes', ARGV[1])
if redis.call('GET', P .. ':raw') == ARGV[1] then redis.call('DEL', P .. ':raw') end
return 1
`;
