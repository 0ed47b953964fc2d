"""The first process of the head: starts Ray, runs attempts, climbs the first two rungs, serves progress and metrics."""
