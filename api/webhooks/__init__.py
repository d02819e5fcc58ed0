"""fal's webhooks: checked, recorded, handed on."""
