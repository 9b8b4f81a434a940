"""DICOM alone: parsing, decoders, the modality step to HU, and the order of a series."""
