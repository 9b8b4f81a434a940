"""Pictures that are no DICOM and no NIfTI: bytes, PIL images and arrays to slices."""
