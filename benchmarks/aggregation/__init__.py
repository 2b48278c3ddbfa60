"""What a committee member reads and holds, in one layer and in two."""
