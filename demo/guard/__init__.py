"""What stands in front of every route of page and API; each file is one kind of refusal."""
