"""The composition root: everything is wired here, with values."""
