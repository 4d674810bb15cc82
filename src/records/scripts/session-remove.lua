-- SESSION_REMOVE: deletes the record of a session whose jobs have ended, with its stream.
-- args    id; project, by, byAddress, byRequest: for the audit, also when it is not there: the
--         caller then deletes its copies
-- answer  1 | 0: a turn is open

local id = args.id
if #openTurns(id) > 0 then return 0 end
addToLog('s', id, 'p', args.project or '', 'v', '', 't', 'deleted')
audit('session.deleted', id, args.project)
redis.call('DEL', sessionKey(id), sessionEventsKey(id), turnsKey(id), asksKey(id))
approvals.removeUnanswered(id)
return 1
