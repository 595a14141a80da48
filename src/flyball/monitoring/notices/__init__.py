"""Notices: what people are told of, beyond the console: by e-mail, in Slack, at any webhook."""
