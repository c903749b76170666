"""Desk bridge: what people ask for at lines and cells becomes facts that processors judge."""
