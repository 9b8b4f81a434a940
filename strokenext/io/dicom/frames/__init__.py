"""Pixel data to stored values: where the frames are, how their samples are laid out, the decoders, palettes."""
