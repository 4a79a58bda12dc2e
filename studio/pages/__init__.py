"""One module a page: its layout, its handlers (plain functions), and its wiring as a table of events."""
