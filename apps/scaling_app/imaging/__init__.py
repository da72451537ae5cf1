"""THE GROUND: geometry, networks and scores on tensors (torch, monai)."""
