"""What the consortium agrees on: the chaincode, and the pure functions it shares with clients."""
