"""Alembic's migrations of the relay's database, applied at start."""
