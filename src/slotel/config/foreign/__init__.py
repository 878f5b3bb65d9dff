"""Objectives in the files of other tools: Sloth, OpenSLO, Pyrra. A service at run time reads none of them."""
