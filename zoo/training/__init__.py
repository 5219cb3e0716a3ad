"""Training networks by recipes."""
