"""Widgets that several screens share, or that are a thing of their own."""
