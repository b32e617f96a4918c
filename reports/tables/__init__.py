"""Tables 1-6."""

from suder_bench.reports.tables.table import Cell, Row, Table, apart, beside_published, build, command, heading, origin

__all__ = ["Cell", "Row", "Table", "apart", "beside_published", "build", "command", "heading", "origin"]
