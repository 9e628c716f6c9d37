"""The command line: parse arguments, call the packages, write files, exit."""
