-- AUDIT: adds an act to the audit that no other script makes.
-- args    action, target, project, details (JSON); by, byAddress, byRequest
-- answer  1

audit(args.action, args.target or '', args.project, args.details)
return 1
