-- FINISH: ends the current execution with its last events and its outcome. The job ends, or waits
-- for its next execution, or for a person. Repeating it gives the same answer.
-- args    id, executionId, status, outcome (JSON), retryable (whether it may be tried again),
--         backoffMs, rawAnswer (what to publish for a raw request), from, nativeSessionId (as of
--         APPEND); costUsd (of this execution); quotaMs, jobOutcome, usage, interrupted, lost,
--         parked, ifCancelled and ifInterrupted as of endExecution in jobs.lua
-- list    events from number `from` on, as of APPEND
-- answer  'finished' | 'scheduled' | 'waiting' | 'superseded': it is not the current execution

local id, executionId = args.id, args.executionId
local job = readJob(id, 'status', 'executionId', 'attempt', 'ended', 'endedAs', 'node', 'provider')
if job.ended == executionId then return job.endedAs end
if job.status ~= 'running' or job.executionId ~= executionId then return 'superseded' end
freeSlot(job.node, job.provider)
appendList(id, number(job.attempt, 1), tonumber(args.from))
if args.costUsd then spend(id, tonumber(args.costUsd)) end
local answer = endExecution(id, executionId, args)
if args.rawAnswer then redis.call('PUBLISH', RESPONSES, args.rawAnswer) end
return answer
