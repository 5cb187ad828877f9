"""What listeners meet: the HTTP endpoint, and the player's page under static/."""
