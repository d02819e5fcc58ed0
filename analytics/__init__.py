"""Questions over many runs, answered by DuckDB from columns loaded out of the projections."""
