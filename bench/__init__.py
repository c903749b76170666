"""Measures the hub's paths, each beside a ceiling measured in the same run."""
