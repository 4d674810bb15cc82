-- REQUEST: counts a request of a caller, unless it or its project has made too many in the last
-- minute.
-- args    project, principal
-- answer  {} (no limit) | {'counted', limit, remaining, resetMs}
--         | {'limited', ...}: as of takeJobs in limits.lua

local holders = holdersOf(args.project, payerOf(args.principal))
local window, refusal = takeRate(holders, 'requestsPerMinute', 60000, 1)
if refusal then return limitedAnswer(refusal) end
if not window then return {} end
return { 'counted', window.limit, window.remaining, window.resetMs }
