"""Folders of labelled head CT to one manifest."""
