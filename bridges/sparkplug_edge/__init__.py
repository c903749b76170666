"""The hub as Sparkplug edge nodes: see README.md."""
