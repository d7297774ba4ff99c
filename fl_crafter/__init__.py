"""Facial features that serve their task and show an average face to whoever inverts them."""
