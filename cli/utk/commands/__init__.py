"""The commands, one file each: thin over the Python API."""
