"""What a finished run is worth: accuracy, latency, memory and size in one report (`pocketrec bench`)."""
