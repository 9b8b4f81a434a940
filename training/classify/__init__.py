"""Classifiers of slices: feeds, augmentation, objectives, finish, card and evaluation."""
