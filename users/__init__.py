"""Who makes a request: user tokens, JWTs and the keys that verify them."""
