"""Packs, preprocessing, inference, taxonomy and evaluation: everything that looks at pictures, nothing that keeps them."""
