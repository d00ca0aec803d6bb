"""Tables instead of networks: few enough states that every result can be held against the exact one."""
