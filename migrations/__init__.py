"""Alembic migrations; the version files stand on their own and import nothing of ours."""
