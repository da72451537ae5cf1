"""Certified diffeomorphic deformations: RED, RegDA and GenDA."""
