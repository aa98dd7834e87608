"""The command line: one command a file, importing lazily."""
