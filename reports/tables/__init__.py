"""Tables 1-6, SRUM's and our extensions."""

from suder_bench.reports.tables.table import (
    Cell,
    Row,
    Table,
    apart,
    beside_published,
    build,
    compared,
    heading,
    origin,
    sufficient,
    trainings,
)

__all__ = [
    "Cell",
    "Row",
    "Table",
    "apart",
    "beside_published",
    "build",
    "compared",
    "heading",
    "origin",
    "sufficient",
    "trainings",
]
