"""The optimizer and the learning rate over the steps."""
