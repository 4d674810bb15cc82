-- EXPIRE: ends jobs that waited longer than their ttlMs, or for a limit longer than their
-- quotaTimeoutMs.
-- args    outcome, quota (the outcomes, JSON), limit
-- answer  their ids

return expire(args.outcome, args.quota, args.limit)
