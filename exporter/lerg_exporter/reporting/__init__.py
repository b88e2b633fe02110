"""The report of an export: one page that opens offline."""
