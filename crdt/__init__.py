"""Replicas of the library's documents, their schema, and the checking of changes that other devices made."""
