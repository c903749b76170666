"""The kernel of the hub: what a plant is, and the shells that move it."""
