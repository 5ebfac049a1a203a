"""Gradient flow in numbers: messages, ways, Jacobians, blame, connectivity. What is drawn of them is in `pictures`."""
