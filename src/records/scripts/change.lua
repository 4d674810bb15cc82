-- CHANGE: changes what a caller may change of a job. Repeating it changes nothing.
-- args    id; only those that change: tags, metadata (JSON), archived ('1' or '0'), priority with
--         its score, runAt (ms: no execution begins before; the past means now) with deadline (ms,
--         of a job with a ttlMs)
--         patch (JSON): the change, for the copies of a job that Redis no longer has
--         project, by, byAddress, byRequest: for the audit
-- answer  'changed' | 'gone': Redis no longer has the job, and the log has the patch
--         | 'finished' | 'running': too late for the priority or runAt; nothing has changed

local id, key = args.id, jobKey(args.id)
local job = readJob(id, 'status', 'waitReason', 'scheduledFor', 'attempt', 'lanes', 'startedAt', 'tags',
  'metadata', 'archived', 'priority')
local finished = isFinished(job.status)
if job.status == '' and not (args.priority or args.runAt) then
  note('c', args.id, args.patch)
  audit('job.changed', args.id, args.project)
  return 'gone'
end
if job.status == '' or (finished and (args.priority or args.runAt)) then return 'finished' end
if (job.status == 'running' or job.status == 'waiting') and args.runAt then return 'running' end

local changed = {}
for _, name in ipairs({ 'tags', 'metadata', 'archived', 'priority' }) do
  if args[name] and args[name] ~= job[name] then
    redis.call('HSET', key, name, args[name])
    changed[#changed + 1] = name
  end
end
if args.score then
  redis.call('HSET', key, 'score', args.score)
  redis.call('ZADD', readyKey(readyName(id)), 'XX', args.score, id)
end

-- Its next execution waits for a time that the caller has chosen.
local function schedule(at)
  forget(id)
  redis.call('HSET', key, 'status', 'scheduled', 'waitReason', 'delayed', 'scheduledFor', args.runAt,
    'given', '', 'executionId', '')
  redis.call('ZADD', P .. ':due', at, id)
  -- The jobs that follow in the session that it begins cannot go before it.
  local left = {}
  for _, lane in ipairs(job.status == 'queued' and lanesOf(job.lanes) or {}) do
    if lane ~= 's:' .. id then left[#left + 1] = lane end
  end
  leaveLanes(id, cjson.encode(left))
  emit(id, number(job.attempt, 0), { now, scheduledEvent('delayed', at), '' })
  announce('scheduled', id, 'scheduled') -- to a worker that holds it
end
local at = tonumber(args.runAt)
local postponed = at and at > now and not (job.waitReason == 'delayed' and job.scheduledFor == args.runAt)
if postponed or (at and at <= now and job.status == 'scheduled') then
  local expiry = job.startedAt == '' and args.deadline or redis.call('ZSCORE', P .. ':expiries', id)
  if postponed then schedule(at) else becomeDue(id, number(job.attempt, 0)) end
  if expiry then redis.call('ZADD', P .. ':expiries', expiry, id) end
  changed[#changed + 1] = 'runAt'
end
if #changed > 0 then
  touch(id, finished and 'c' or 'j')
  audit('job.changed', id, args.project, cjson.encode({ changed = changed }))
end
return 'changed'
