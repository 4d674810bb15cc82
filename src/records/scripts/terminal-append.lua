-- TERMINAL_APPEND: adds events of a terminal to the stream of its session. Repeating it adds none
-- twice.
-- args    id, batch (counts the calls for this terminal), keepFrom (events with a smaller seq are
--         no longer kept), known (seq of the last event that the node knows of); cols, rows: after
--         these events, if they change the size
-- list    time (ms), body (JSON), of each event
-- answer  seq of the last event | 0: it has no record, or its program is lost

-- Once in so long output counts as activity of the session.
local ACTIVITY_MS = 60000

local id, key = args.id, sessionKey(args.id)
local session = read(key, 'status', 'kind', 'batch', 'batchSeq', 'cols', 'rows', 'lastActivityAt')
local isGone = session.status == '' or session.status == 'failed'
if session.kind ~= 'terminal' or isGone then return 0 end
if tonumber(args.batch) <= number(session.batch, 0) then return number(session.batchSeq, 0) end
skipTo(id, tonumber(args.known))
local seq = endOf(id).seq
for i = listAt, #ARGV, 2 do
  seq = seq + 1
  addEvent(sessionEventsKey(id), seq, 't', ARGV[i], 'e', ARGV[i + 1])
end
redis.pcall('XTRIM', sessionEventsKey(id), 'MINID', args.keepFrom)
local cols, rows = args.cols or session.cols, args.rows or session.rows
redis.call('HSET', key, 'batch', args.batch, 'batchSeq', seq, 'cols', cols, 'rows', rows)
publishSession(id, seq)
local isResized = cols ~= session.cols or rows ~= session.rows
if isResized or number(session.lastActivityAt, 0) <= now - ACTIVITY_MS then touchSession(id) end
return seq
