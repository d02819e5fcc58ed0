"""fal's queue: submitted runs wait for a runner, and are asked about until they end."""
