"""Servers behind an address, for judges and models alike: none of what they send is trusted."""
