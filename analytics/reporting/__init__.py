"""The composed report: one document of what was recorded, as JSON, Markdown, HTML or on a terminal."""
