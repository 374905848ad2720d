"""Communication with RunningHub: its client, codes, replies, accounts and incoming webhooks."""
