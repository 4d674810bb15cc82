-- APPEND: adds events of the current execution. Repeating it adds nothing twice.
-- args    id, executionId, from (the number of the first event in the list, from 0),
--         nativeSessionId (the CLI's id of the session that these events begin); costUsd (of the
--         execution so far)
-- list    time (ms), body (JSON), line of the CLI ('' for none) of each event
-- answer  how many readers the job has | -1: it is not the current execution | -2: the events are
--         appended, and the execution has to stop, because the amount of the day is spent

local job = readJob(args.id, 'status', 'executionId', 'attempt')
if job.status ~= 'running' or job.executionId ~= args.executionId then return -1 end
if args.costUsd and spend(args.id, tonumber(args.costUsd)) then
  appendList(args.id, number(job.attempt, 1), tonumber(args.from))
  return -2
end
return appendList(args.id, number(job.attempt, 1), tonumber(args.from))
