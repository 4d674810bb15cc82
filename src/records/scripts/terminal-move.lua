-- TERMINAL_MOVE: moves the session of a terminal by the table of transitions. Repeating it changes
-- nothing.
-- args    id, trigger, reason, matchedLine, exitCode (of the program that has ended), known (seq of
--         the last event that the node knows of)
-- answer  1 | 0: it has no record

local id, key = args.id, sessionKey(args.id)
local session = read(key, 'kind', 'status', 'exitCode')
if session.kind ~= 'terminal' or session.status == '' then return 0 end
skipTo(id, tonumber(args.known))
local hasEnded = args.exitCode and session.exitCode == ''
if hasEnded then redis.call('HSET', key, 'exitCode', args.exitCode) end
if moveSession(id, args.trigger, args.reason, args.matchedLine) or hasEnded then touchSession(id) end
return 1
