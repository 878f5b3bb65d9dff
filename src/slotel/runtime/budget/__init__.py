"""The live error budget: windows of good and bad events, breaches, incidents."""
