-- Gates: what keeps jobs that could run from starting.
--
-- A gate is a field of one hash; without a field it is open. A person closes `queue`,
-- `project:NAME`, `provider:NAME` and `node:ID`; their reason is 'paused'.
--
-- A refusal closes `credential:NAME` or `credential:NAME|WORD`; the second one holds only for
-- models with this word in their names. The value is JSON: reason ('quota' | 'refused'), until and
-- since (ms; no `until`: until it is opened by hand), refusals (in a row), and while one job tries
-- the credential: probe (its execution), probeUntil.
-- A gate `reserve:NAME` or `reserve:NAME|WORD` holds for jobs with a negative priority only.
--
-- A gate `budget:HOLDER` (limits.lua) is closed until midnight UTC: the amount of the day is spent.

local GATES = P .. ':gates'
-- When each gate was opened last (ms), and the model that a credential ran last for a job that
-- names none.
local OPENED, MODELS = P .. ':gates:opened', P .. ':gates:models'
-- The credential of each provider (JSON), by node.
local CREDENTIALS = P .. ':credentials'
-- A credential's name without an account → its name with one.
local ACCOUNTS = P .. ':accounts'
-- How long a job that tries a credential keeps the others waiting without an answer.
local PROBE_MS = 120000

local CREDENTIAL, RESERVE = 'credential:', 'reserve:'
-- The lowest score of jobs with a negative priority: see `scoreOf` in record-codec.ts.
local LOW_SCORE = 11e13

local function gateName(credential, word, kind)
  return (kind or CREDENTIAL) .. credential .. (word == '' and '' or '|' .. word)
end

-- Adds to the log that a gate was closed, for a reason and until a time (ms or math.huge), or
-- opened: without a reason.
local function noteGate(name, reason, opensAt)
  appendLog('g', name, 'r', reason or '', 'u',
    opensAt and opensAt < math.huge and string.format('%.0f', opensAt) or '')
end

local function decodeGate(name, text)
  local ok, gate = pcall(cjson.decode, text)
  if not ok or type(gate) ~= 'table' then return nil end
  local function numeric(field, default)
    return type(gate[field]) == 'number' and gate[field] or default
  end
  local probeUntil = numeric('probeUntil', 0)
  return {
    name = name, reason = tostring(gate.reason), since = numeric('since', now),
    opensAt = numeric('until', math.huge), refusals = numeric('refusals', 1),
    probe = probeUntil > now and gate.probe or nil, probeUntil = probeUntil,
  }
end

local function saveGate(gate)
  local value = { reason = gate.reason, since = gate.since, refusals = gate.refusals }
  if gate.opensAt < math.huge then value['until'] = gate.opensAt end
  if gate.probe then value.probe, value.probeUntil = gate.probe, gate.probeUntil end
  redis.call('HSET', GATES, gate.name, cjson.encode(value))
end

-- The gates of a credential that are not open, by word; '' for all models.
-- kind: CREDENTIAL (the default) or RESERVE
local function gatesOf(credential, kind)
  local found, all = {}, redis.pcall('HGETALL', GATES)
  if all.err then return found end
  local whole = gateName(credential, '', kind)
  local start = whole .. '|'
  for i = 1, #all, 2 do
    local word = all[i] == whole and '' or nil
    if string.sub(all[i], 1, #start) == start then word = string.sub(all[i], #start + 1) end
    if word then found[word] = decodeGate(all[i], all[i + 1]) end
  end
  return found
end

-- A gate lets no job through before its time, and after it one, until that has an answer.
local function holds(gate) return gate.opensAt > now or gate.probe ~= nil end

-- The model of a job; one that names none counts as the model that the last such job ran.
local function modelFor(credential, model)
  return string.lower(model == '' and read(MODELS, credential)[credential] or model)
end
local function isFor(word, model) return word == '' or string.find(model, word, 1, true) ~= nil end

-- The gate that keeps an execution from starting; nil: it may start.
local function gateBefore(gates, model, executionId)
  for word, gate in pairs(gates) do
    if isFor(word, model) and gate.probe ~= executionId and holds(gate) then return gate end
  end
end

-- Makes the execution the one that tries each gate it passes. Returns whether there is one.
local function tryGates(gates, model, executionId)
  local tries = false
  for word, gate in pairs(gates) do
    if isFor(word, model) then
      gate.probe, gate.probeUntil, tries = executionId, now + PROBE_MS, true
      saveGate(gate)
    end
  end
  return tries
end

-- The reserve of a credential, as gatesOf; a gate whose time is over is removed.
local function reserveOf(credential)
  local reserve = gatesOf(credential, RESERVE)
  for word, gate in pairs(reserve) do
    if not holds(gate) then
      redis.call('HDEL', GATES, gate.name)
      reserve[word] = nil
    end
  end
  return reserve
end

-- The limited credentials of a node, by provider: {credential, gates, reserve}. A refused login is
-- not among them: its jobs start, and end at once.
local function limitsOf(node)
  local limits = {}
  local ok, logins = pcall(cjson.decode, read(CREDENTIALS, node)[node])
  if not ok or type(logins) ~= 'table' or redis.call('EXISTS', GATES) == 0 then return limits end
  for provider, credential in pairs(logins) do
    local isNamed = type(credential) == 'string'
    local gates = isNamed and gatesOf(credential) or {}
    local reserve = isNamed and reserveOf(credential) or {}
    for word, gate in pairs(gates) do
      if gate.reason ~= 'quota' then gates[word] = nil end
    end
    if next(gates) or next(reserve) then
      limits[provider] = { credential = credential, gates = gates, reserve = reserve }
    end
  end
  return limits
end
-- Whether a job has to wait for a limit; a job that has tried it does not.
local function waitsForLimit(limits, job)
  local limit = limits[job.provider]
  if not limit then return false end
  local model = modelFor(limit.credential, job.model)
  local isLow = number(job.score, 0) >= LOW_SCORE
  return isLow and gateBefore(limit.reserve, model, job.executionId) ~= nil
    or job.onQuota ~= 'fail' and gateBefore(limit.gates, model, job.executionId) ~= nil
end
-- Makes the job's execution the one that tries the limits it passes.
local function tryLimit(limits, job)
  local limit = limits[job.provider]
  if limit and job.onQuota ~= 'fail' then
    tryGates(limit.gates, modelFor(limit.credential, job.model), job.executionId)
  end
end
-- Whether the ready jobs of a provider and model have to wait for a limit.
local function isLimited(limits, provider, model)
  local limit = limits[provider]
  return limit ~= nil and gateBefore(limit.gates, modelFor(limit.credential, model), '') ~= nil
end

-- The gates that are closed now, except those of credentials: a gate is a record with a reason and
-- a time, and keeps jobs from being let through. One of a day that is over is weighed again.
local function closedGates()
  local closed, all = {}, redis.pcall('HGETALL', P .. ':gates')
  for i = 1, all.err and 0 or #all, 2 do
    local ok, gate = pcall(cjson.decode, all[i + 1])
    local endsAt = ok and type(gate) == 'table' and (gate['until'] or math.huge)
    if endsAt and (type(endsAt) ~= 'number' or endsAt > now) then
      closed[all[i]] = true
    elseif startsWith(all[i], 'budget:') then
      closed[all[i]] = weighBudget(string.sub(all[i], 8)) or nil
    end
  end
  return closed
end
-- Whether a gate that concerns these jobs is closed.
local function isHeld(closed, node, provider, holders)
  return closed.queue or closed['node:' .. node] or closed['project:' .. holders[1]]
    or closed['provider:' .. provider]
    or closed[budgetGate(holders[1])] or closed[budgetGate(holders[2])]
end
