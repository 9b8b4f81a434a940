"""What the answers of every kind of model share: what is given, decided, recorded and saved."""
