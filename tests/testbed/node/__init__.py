"""The one node of the test bed's cluster: what runs inside its namespaces."""
