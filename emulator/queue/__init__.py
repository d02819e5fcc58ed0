"""fal's queue: submitted runs wait for a runner, are asked about, and end in a webhook."""
