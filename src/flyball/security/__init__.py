"""Who may do what, and what keeps secrets: keys, seals, principals, the audit chain."""
