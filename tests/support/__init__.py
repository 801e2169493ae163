"""What several test modules share and pytest need not know: real servers, waiting, free ports."""
