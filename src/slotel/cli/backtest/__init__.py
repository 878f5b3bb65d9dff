"""`slotel backtest`: which alerts would have fired in the last weeks."""
