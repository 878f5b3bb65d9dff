"""The drop-in code API over the runtime: for apps without `opentelemetry-instrument`, and for tags in code."""
