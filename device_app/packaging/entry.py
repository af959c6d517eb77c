"""What python-for-android starts, staged as main.py: the app over the bundle that lies beside it."""

from pathlib import Path

from device_app.main import main

if __name__ == "__main__":
    main(Path(__file__).with_name("bundle"))
