"""The sections of a job's spec, one file each."""
