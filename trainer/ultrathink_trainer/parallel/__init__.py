"""How a model is cut over ranks: PyTorch's own parallelism, applied in one fixed order; nothing averages."""
