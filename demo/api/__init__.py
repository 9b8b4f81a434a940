"""The routes that programs use, with their schemas and documentation."""
