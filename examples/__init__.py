"""Apps that are not ours, and what it takes to add Crafter to them."""
