"""How often the scope gate refuses head CT and lets other pictures through."""
