"""The report: the main charts of a time, in one file that needs no network and no script."""
