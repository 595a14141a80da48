"""What things cost: prices, metering, and budgets that hold."""
