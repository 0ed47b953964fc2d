"""What the model reads, in an order that depends on nothing but the seed and the index of a row."""
