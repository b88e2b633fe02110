"""Models of other libraries, a module for each format.

A module here is all that a format is: `NAME`, what it is called; `recognises(source)`, which looks at a
file's content; and `read(source)`, which gives its tables. See :mod:`lerg_edge.tables.registry`.
"""
