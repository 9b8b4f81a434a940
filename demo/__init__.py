"""The page and the routes: everything a person or a program meets over HTTP."""
