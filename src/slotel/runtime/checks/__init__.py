"""The checks of a start, one function each. The start logs the findings, `slotel doctor` prints them."""
