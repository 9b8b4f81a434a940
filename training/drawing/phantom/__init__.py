"""Synthetic heads in HU: anatomy, lesions, example files and patients."""
