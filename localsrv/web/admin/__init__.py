"""The admin face: /api/v1, for dashboard, tray and CLI."""
