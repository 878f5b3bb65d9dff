"""The one room for private names, patches and layout assumptions of other projects; each has a probe and a fallback."""
