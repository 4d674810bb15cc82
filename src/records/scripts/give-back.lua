-- GIVE_BACK: a node takes no more jobs. Those that it was given and has not claimed are ready
-- again.
-- args    node
-- answer  1

takeBackFrom(args.node)
return 1
