"""Many files -> the series among them: looked at, told apart, ordered, chosen, decoded."""
