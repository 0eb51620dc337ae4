"""What people read at /docs: the page, and the OpenAPI document that it shows."""
