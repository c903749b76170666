"""Grafana boards as code: what they ask of the record, and how Grafana wants that written."""
