"""Files are decoded in processes of their own, which can be ended; only plain values and pixels come back."""
