-- EXPIRE: ends jobs that waited longer than their ttlMs, for a limit longer than their
-- quotaTimeoutMs, or for a person longer than their approvalTimeoutMs.
-- args    expired, quota, unanswered (the outcomes, JSON), limit
-- answer  their ids

return expire(args, args.limit)
