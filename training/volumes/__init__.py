"""The 3-D network on whole patients: feed, examples, objective, finish, card and evaluation."""
