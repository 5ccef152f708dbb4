"""Who may do what: subjects, one pure decision function, grants that repositories ask for, an audit chain."""
