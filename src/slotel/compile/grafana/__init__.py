"""The dashboards, one module each; only `compile.dashboards` imports them, because they need Grafana's SDK."""
