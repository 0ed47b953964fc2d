"""One file a policy: pure functions from what is observed to actions and conditions."""
