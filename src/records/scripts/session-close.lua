-- SESSION_CLOSE: closes a session for good. Repeating it changes nothing.
-- args    id; by, byAddress, byRequest: for the audit
-- answer  {} : there is no such session | {ids}: of its jobs that have not ended

local id = args.id
if not ensureSession(id) then return {} end
if not isClosed(id) then
  moveSession(id, 'closed')
  touchSession(id)
  audit('session.closed', id, read(sessionKey(id), 'project').project)
end
return { openTurns(id) }
