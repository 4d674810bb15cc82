-- Limits of callers: what one principal, and what a project as a whole, may do.
--
-- A holder of limits is a project (`web`), or a principal in a project (`web|key:ID`). Limits are
-- an object with those that the holder has: requestsPerMinute, jobsPerHour, maxQueued, maxRunning,
-- usdPerDay. Those of projects and JWTs are settings, the constants PROJECT_LIMITS and JWT_LIMITS.
-- KEY_PUT writes those of keys into the hash `limits`.
--
-- A job that is made from inside a job counts for the principal of that one: its `payer`.
-- `limits` in a job's record has a letter for each limit that it counts for: 'q' maxQueued,
-- 'r' maxRunning, 'u' usdPerDay.

local KEY_LIMITS = P .. ':limits'
local DAY_MS = 86400000
local NONE = {}

local function startsWith(text, start) return string.sub(text, 1, #start) == start end
local function holdersOf(project, principal) return { project, project .. '|' .. principal } end
local function payerOf(principal)
  if not startsWith(principal, 'job:') then return principal end
  local parent = readJob(string.sub(principal, 5), 'payer', 'principal')
  local payer = parent.payer ~= '' and parent.payer or parent.principal
  return payer ~= '' and payer or principal
end
-- Whom a job counts for, by fields of its record: principal, owner, payer. The record of the job
-- that made it may be gone.
local function chargedFor(job) return job.payer ~= '' and job.payer or principalOf(job) end
-- The holders of a job, by the same fields, and project.
local function holdersOfJob(job)
  local project = job.project == '' and DEFAULT_PROJECT or job.project
  return holdersOf(project, chargedFor(job))
end

local function readLimits(holder)
  local principal = string.match(holder, '|(.*)$')
  if not principal then return PROJECT_LIMITS[holder] or NONE end
  if startsWith(principal, 'jwt:') then return JWT_LIMITS end
  if not startsWith(principal, 'key:') then return NONE end
  local text = read(KEY_LIMITS, principal)[principal]
  if text == '' then return NONE end
  local ok, limits = pcall(cjson.decode, text)
  return ok and type(limits) == 'table' and limits or NONE
end
local limitsRead = {}
local function limitsOfHolder(holder)
  limitsRead[holder] = limitsRead[holder] or readLimits(holder)
  return limitsRead[holder]
end
local function limitOf(holder, name) return tonumber(limitsOfHolder(holder)[name]) end

-- Counts in the last `windowMs`, in sixty parts of it: a hash of the start of a part → its count.
local function rateKey(name) return P .. ':rate:' .. name end

-- Whether `count` more are within the limit: {limit, remaining, resetMs (until nothing is counted),
-- waitMs (until there is room; nil: there is)}.
local function windowOf(name, windowMs, limit, count)
  local key, parts, left = rateKey(name), {}, limit
  local all = redis.pcall('HGETALL', key)
  if all.err then
    redis.call('DEL', key)
    all = {}
  end
  for i = 1, #all, 2 do
    local part = { at = number(all[i], 0), count = number(all[i + 1], 0) }
    if part.at <= now - windowMs or part.at > now then
      redis.call('HDEL', key, all[i])
    else
      parts[#parts + 1] = part
      left = left - part.count
    end
  end
  table.sort(parts, function(a, b) return a.at < b.at end)
  local window = { limit = limit, remaining = math.max(0, left), resetMs = 0 }
  if #parts > 0 then window.resetMs = parts[#parts].at + windowMs - now end
  if count <= left then return window end
  window.waitMs = windowMs
  for i = 1, #parts do
    left = left + parts[i].count
    if count <= left then
      window.waitMs = parts[i].at + windowMs - now
      break
    end
  end
  return window
end
local function countInWindow(name, windowMs, count)
  local key, at = rateKey(name), string.format('%.0f', now - now % (windowMs / 60))
  redis.call('HSET', key, at, number(read(key, at)[at], 0) + count)
  redis.call('PEXPIRE', key, windowMs)
end

-- Counts for each holder that has the limit, unless one of them has no room. Returns the window
-- with the least room, or nil, then a refusal as of `refusalOf`, or nil.
local function takeRate(holders, name, windowMs, count)
  local found, limited = nil, {}
  for at, holder in ipairs(holders) do
    local limit = limitOf(holder, name)
    local window = limit and windowOf(name .. ':' .. holder, windowMs, limit, count)
    if window and window.waitMs then
      return window, { name, at, tostring(limit), window.remaining, window.resetMs, window.waitMs }
    end
    if window then
      limited[#limited + 1] = holder
      window.remaining = window.remaining - count
      if not found or window.remaining < found.remaining then found = window end
    end
  end
  for _, holder in ipairs(limited) do countInWindow(name .. ':' .. holder, windowMs, count) end
  if found and found.resetMs == 0 then found.resetMs = windowMs end
  return found
end

-- Jobs that wait for their first start, of holders with the limit maxQueued.
local function queuedKey(holder) return P .. ':queued:' .. holder end
local function queuedOf(holder, room)
  local key = queuedKey(holder)
  local count = redis.pcall('SCARD', key)
  if type(count) ~= 'number' then
    redis.call('DEL', key)
    return 0
  end
  if count <= room then return count end
  -- Another program may have removed records. A few are looked at whenever there is no room.
  for _, id in ipairs(redis.call('SRANDMEMBER', key, 20)) do
    local status = readJob(id, 'status').status
    if status ~= 'queued' and status ~= 'scheduled' then redis.call('SREM', key, id) end
  end
  return redis.call('SCARD', key)
end
local function hasMark(job, mark) return string.find(job.limits, mark, 1, true) ~= nil end
-- A job is made: it counts as queued. Returns its marks.
local function enterQueued(id, holders)
  local marks = ''
  for _, holder in ipairs(holders) do
    local limits = limitsOfHolder(holder)
    if tonumber(limits.maxRunning) then marks = marks .. 'r' end
    if tonumber(limits.maxQueued) then
      redis.call('SADD', queuedKey(holder), id)
      marks = marks .. 'q'
    end
  end
  return marks
end
-- A job that was queued starts or ends.
local function leaveQueued(id, job)
  if not hasMark(job, 'q') then return end
  for _, holder in ipairs(holdersOfJob(job)) do redis.call('SREM', queuedKey(holder), id) end
end

-- Adds how many jobs of each holder are in a sorted set, without raw ones that have not started:
-- those wait with the node that they were given to.
local function countHolders(set, counts)
  for _, id in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    local job = readJob(id, 'project', 'principal', 'owner', 'payer', 'kind', 'status')
    local holders = job.kind == 'raw' and job.status == 'queued' and NONE or holdersOfJob(job)
    for _, holder in ipairs(holders) do counts[holder] = (counts[holder] or 0) + 1 end
  end
end
-- Whether a holder has as many jobs as it may run at once. counts(): jobs by holder.
local function isAtMaxRunning(holders, counts)
  for _, holder in ipairs(holders) do
    local max = limitOf(holder, 'maxRunning')
    if max and (counts()[holder] or 0) >= max then return true end
  end
  return false
end
-- An execution of the job starts.
local function markRunning(id, job, holders)
  leaveQueued(id, job)
  local marks = ''
  for _, holder in ipairs(holders) do
    local limits = limitsOfHolder(holder)
    if tonumber(limits.maxRunning) then marks = marks .. 'r' end
    if tonumber(limits.usdPerDay) then marks = marks .. 'u' end
  end
  if marks ~= job.limits then redis.call('HSET', jobKey(id), 'limits', marks) end
  if marks ~= '' then redis.call('HSET', jobKey(id), 'spent', '') end
end

-- USD that the executions of a holder have cost today (UTC), as far as that is known.
local function spentKey() return P .. ':spent:' .. string.format('%.0f', math.floor(now / DAY_MS)) end
local function spentBy(holder)
  local key = spentKey()
  return tonumber(read(key, holder)[holder]) or 0
end
local function budgetGate(holder) return 'budget:' .. holder end

-- Closes the gate of a holder that has spent the amount of the day, or opens it. Returns whether
-- it is closed.
local function weighBudget(holder)
  local gates, name, limit = P .. ':gates', budgetGate(holder), limitOf(holder, 'usdPerDay')
  local isSpent = limit ~= nil and spentBy(holder) >= limit
  local text = read(gates, name)[name]
  local ok, gate = pcall(cjson.decode, text)
  -- One that was closed on another day is closed again for this one.
  local isClosed = ok and type(gate) == 'table' and (tonumber(gate['until']) or 0) > now
  if isSpent and not isClosed then
    local midnight = string.format('%.0f', now - now % DAY_MS + DAY_MS)
    redis.call('HSET', gates, name,
      '{"reason":"budget","since":' .. string.format('%.0f', now) .. ',"until":' .. midnight .. '}')
    appendLog('g', name, 'r', 'budget', 'u', midnight)
  elseif text ~= '' and not isSpent then
    redis.call('HDEL', gates, name)
    appendLog('g', name, 'r', '', 'u', '')
  end
  return isSpent
end

-- What the current execution of a job has cost so far. Returns whether it has to stop, because the
-- amount of the day is spent.
local function spend(id, costUsd)
  local job = readJob(id, 'limits', 'spent', 'project', 'principal', 'owner', 'payer')
  if not hasMark(job, 'u') then return false end
  local more, isOver = costUsd - (tonumber(job.spent) or 0), false
  redis.call('HSET', jobKey(id), 'spent', string.format('%.9f', costUsd))
  for _, holder in ipairs(holdersOfJob(job)) do
    if limitOf(holder, 'usdPerDay') then
      local key = spentKey()
      redis.call('HSET', key, holder, string.format('%.9f', math.max(0, spentBy(holder) + more)))
      redis.call('PEXPIRE', key, 2 * DAY_MS)
      if weighBudget(holder) then isOver = true end
    end
  end
  return isOver
end

-- Why these holders may not make `count` more jobs: {name of the limit, 1 (the project's) or 2 (the
-- principal's), the limit, what remains of it, ms until nothing is counted, ms until a retry makes
-- sense}. nil: they may, and the jobs are counted; then the window with the least room, or nil.
local function takeJobs(holders, count)
  for at, holder in ipairs(holders) do
    local usd, queued = limitOf(holder, 'usdPerDay'), limitOf(holder, 'maxQueued')
    if usd and spentBy(holder) >= usd then
      local leftMs = DAY_MS - now % DAY_MS
      return { 'usdPerDay', at, tostring(usd), 0, leftMs, leftMs }
    end
    local waiting = queued and queuedOf(holder, queued - count)
    if waiting and waiting > queued - count then
      return { 'maxQueued', at, tostring(queued), math.max(0, queued - waiting), -1, -1 }
    end
  end
  local window, refusal = takeRate(holders, 'jobsPerHour', 3600000, count)
  return refusal, window
end
-- What CREATE and BATCH_OPEN answer.
local function limitedAnswer(refusal) return { 'limited', unpack(refusal) } end
local function createdAnswer(window)
  if not window then return { 'created' } end
  return { 'created', window.limit, window.remaining, window.resetMs }
end
