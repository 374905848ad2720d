"""An app's node list as a form."""
