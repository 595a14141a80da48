"""Text classifiers: one interface, one folder on the disk, a file per kind and a line in `catalog.py`."""
