"""What things cost: prices, charges, and budgets that hold."""
