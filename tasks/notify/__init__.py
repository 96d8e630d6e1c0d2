"""Tell people about incidents: message text and the Telegram channel."""
