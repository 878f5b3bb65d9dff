"""The drop-in code API over the runtime: for apps without the launcher, and for tags in code."""
