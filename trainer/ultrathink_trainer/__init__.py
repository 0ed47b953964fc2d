"""The trainer: what runs inside a Ray cluster, or on a laptop."""
