"""OPC UA bridge: subscriptions on a server, tags and events in the tree."""
