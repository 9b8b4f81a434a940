"""What must lie on a disk for a while: in a folder of this process, within limits, and gone soon."""
