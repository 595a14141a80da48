"""The way back: findings become proposals, corrected answers become rows."""
