"""Where the evidence for an answer lies: Grad-CAM through the head alone, and pytorch-grad-cam's other methods."""
