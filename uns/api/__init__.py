"""The record over HTTP: what the command line asks, for programs. Read-only.

Owns paths, bounds of a request and how errors look. Does not know SQL (uns.historian answers), nor
where the store, the broker and the plant file are: its caller passes them in.

    app        builds the application from what the caller brings
    context    what every request may use: plant, readers, clock, feed
    gate       who may ask: host names, bearer token
    errors     problem documents (RFC 9457)
    limits     every bound, and the parameters that many paths share
    instants   PURE  ms since 1970 or ISO 8601
    places     PURE  the places of a plant
    routes     /v1: health, plant, history and what is derived from it
    feed       what is said in the tree now, for whoever follows
    i3x/       /i3x/v1: the same answers as i3X 1.0 objects
"""
