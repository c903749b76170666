"""The shells that move facts: clock, outbox, runners of bridges and processors, supervisor."""
