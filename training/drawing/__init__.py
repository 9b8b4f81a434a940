"""What is drawn: augmentation, simulated lesions and synthetic heads."""
