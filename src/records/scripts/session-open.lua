-- SESSION_OPEN: the jobs of a session that have not ended. Changes nothing.
-- args    id
-- answer  their ids: the one that runs, waits for a person, or is next comes first

return openTurns(args.id)
