-- SESSION_REMOVE: deletes the record of a session whose jobs or program have ended, and its stream.
-- args    id; project, by, byAddress, byRequest: for the audit, also when it is not there: the
--         caller then deletes its copies
-- answer  1 | 0: a turn is open, or its program runs

local id = args.id
local session = read(sessionKey(id), 'kind', 'status')
if #openTurns(id) > 0 or isOpenTerminal(session.kind, session.status) then return 0 end
appendLog('s', id, 'p', args.project or '', 'k', session.kind, 'v', '', 't', 'deleted')
audit('session.deleted', id, args.project)
redis.call('DEL', sessionKey(id), sessionEventsKey(id), turnsKey(id), asksKey(id),
  seenKey(id))
approvals.removeUnanswered(id)
return 1
