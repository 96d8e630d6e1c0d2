"""Count events per source IP and minute, and hold the counts against rules."""
