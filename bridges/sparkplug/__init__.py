"""Sparkplug B bridge: a host application that republishes metrics into the tree."""
