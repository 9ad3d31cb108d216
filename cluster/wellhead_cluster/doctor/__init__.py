"""`wellhead doctor`: what would go wrong with a service, said before anybody waits for its pod."""
