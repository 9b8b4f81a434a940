"""Files to slices and volumes: the only room that knows DICOM, NIfTI, PNG and JPEG, and keeps no patient tag.

sniff    what a file is, from its bytes        limits   what is willing to be decoded
members  one named file, read when asked       archive  zip and gzip in memory, bounded
source   path, bytes, list to members          quiet    no foreign exception or log line leaves
dicom/   DICOM files and series                nifti    NIfTI to axial slices
image    pictures and arrays                   series   many files to a volume
read     the functions that callers use
"""
