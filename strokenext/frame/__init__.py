"""What stands around a picture: what the case is called, letters, scale, colour bar, notice."""
