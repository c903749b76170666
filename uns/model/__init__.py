"""PURE: what a plant is and what is said about it. No I/O, no clock, no randomness."""
