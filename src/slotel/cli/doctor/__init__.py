"""`slotel doctor`: runs the checks of a start, then what a start must not do: open connections and send."""
