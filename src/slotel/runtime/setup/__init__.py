"""The SDK, set up from the environment so that one wrong name takes nothing else down."""
