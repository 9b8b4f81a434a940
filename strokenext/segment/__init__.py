"""Regions that a segmentation model marks on a slice."""
