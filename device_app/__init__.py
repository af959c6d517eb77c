"""The PocketRec window: recommendations from a bundle and a history that stay on the device."""
