"""Files that run by themselves under any Python from 3.8 on, with Pillow and without this package: nothing here imports another.

A model's own environment has old pins and cannot hold this package. It runs such a file by its path, or a copy of it.
"""
