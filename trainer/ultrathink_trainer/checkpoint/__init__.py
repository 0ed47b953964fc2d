"""Tensors to and from the store: staged in host memory, uploaded behind training, read back onto any layout."""
