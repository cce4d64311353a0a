"""Header fields that the gateway writes for backends."""
