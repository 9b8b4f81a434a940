"""What the answers of every kind of model share: device, decision and provenance."""
