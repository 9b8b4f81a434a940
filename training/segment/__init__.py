"""The U-Net: planes, feed, objective, finish, card, evaluation and overlays."""
