"""Files to slices and volumes: the only room that knows DICOM, NIfTI, PNG and JPEG, and keeps no patient tag.

sniff    what a file is, from its bytes        limits   what is willing to be decoded
members  path, bytes, list to named members    archive  zip and gzip in memory, bounded
dicom/   DICOM files and series                nifti    NIfTI to axial slices
image    pictures and arrays                   series   many files to a volume
read     the functions that callers use        quiet    no foreign exception or log line leaves
"""
