-- SESSION_CREATE: makes a session, unless it has a record.
-- args    id, kind, status, project, principal, createdAt, options (JSON); name, node, fork, tags,
--         metadata (JSON), signature; of a terminal: cols, rows; by, byAddress, byRequest: for the
--         audit; of one that Redis had lost: rev, explicit, statusReason, nativeSessionId, rules,
--         turns, seq, lastActivityAt, closedAt, matchedLine, exitCode;
--         with a key: key, fingerprint, keyForMs, deleted, as of CREATE
-- list    of one that Redis had lost, each entry of its stream: its last seq, a count, and so many
--         names and values
-- answer  {'created'} | {'known'}: it has one | {'replayed', id}: the key has another one
--         | {'mismatch'}: the key was used for another request

local id, key = args.id, sessionKey(args.id)
if hasSession(id) then return { 'known' } end
if args.key then
  local prior = remembered(args.key)
  if prior.job ~= '' then
    if prior.print ~= args.fingerprint then return { 'mismatch' } end
    if prior.job ~= args.deleted then return { 'replayed', prior.job } end
  end
  remember(args.key, id, args.fingerprint, args.keyForMs)
end
redis.call('DEL', key, sessionEventsKey(id), turnsKey(id))
redis.call('HSET', key, 'rev', args.rev or 0, 'kind', args.kind, 'explicit', args.explicit or '',
  'name', args.name or '', 'status', args.status, 'statusReason', args.statusReason or '',
  'project', args.project, 'principal', args.principal, 'options', args.options,
  'signature', args.signature or '',
  'nativeSessionId', args.nativeSessionId or '', 'node', args.node or '', 'fork', args.fork or '',
  'rules', args.rules or '', 'turns', args.turns or 0, 'seq', args.seq or 0, 'tailJob', '',
  'createdAt', args.createdAt, 'closedAt', args.closedAt or '',
  'matchedLine', args.matchedLine or '',
  'tags', args.tags or '', 'metadata', args.metadata or '')
if args.kind == 'terminal' then
  redis.call('HSET', key, 'cols', args.cols, 'rows', args.rows, 'exitCode', args.exitCode or '',
    'batch', 0)
  if isOpenTerminal(args.kind, args.status) then
    redis.call('HSET', TERMINALS, id, args.node or '')
  end
end
local at = listAt
while at <= #ARGV do
  local fields = {}
  for i = at + 2, at + 1 + ARGV[at + 1] do fields[#fields + 1] = ARGV[i] end
  addEvent(sessionEventsKey(id), tonumber(ARGV[at]), unpack(fields))
  at = at + 2 + ARGV[at + 1]
end
if not args.seq then emitStatus(id, args.status, '', '') end
touchSession(id)
if args.lastActivityAt then redis.call('HSET', key, 'lastActivityAt', args.lastActivityAt) end
audit('session.created', id, args.project)
return { 'created' }
