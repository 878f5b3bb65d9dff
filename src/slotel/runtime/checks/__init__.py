"""What a start verifies, a function for each question. The start logs the findings, `slotel doctor` prints them."""
