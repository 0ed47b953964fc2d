"""The model: a decoder with Mixture-of-Experts blocks, written once for every layout."""
