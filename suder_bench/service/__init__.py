"""Judges behind an address: what `suder-bench serve` runs."""
