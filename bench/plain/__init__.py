"""The plain version that the service is compared with."""
