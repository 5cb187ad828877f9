"""What to play next: a listener's profile, what goes together, and lists with their reasons."""
