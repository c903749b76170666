"""EPCIS bridge: what partners tell of things in EPCIS 2.0, and our own record told so."""
