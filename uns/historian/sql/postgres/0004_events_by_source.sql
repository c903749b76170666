-- Holes are filled and states recomputed from a source's events in their order.
CREATE INDEX events_by_source ON events (source, epoch, seq);
