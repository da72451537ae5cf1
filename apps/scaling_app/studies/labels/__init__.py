"""A label comes in: it is read, checked, written down."""
