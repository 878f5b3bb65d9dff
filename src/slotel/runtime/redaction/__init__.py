"""The redactor and the tag policy at work: every exit of data goes through here."""
