"""What PyTorch recorded, read into the nodes of our own engine, so that all of `viz` works on it."""
