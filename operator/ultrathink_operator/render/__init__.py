"""From a plan to objects: pure functions, the pods once, one file a provider."""
