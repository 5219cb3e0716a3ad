"""What a network costs, and how that compares with the paper."""
