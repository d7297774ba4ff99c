"""What builds the documentation; none of it is part of the site."""
