"""What the app is packaged for Android with; none of it goes onto the phone."""
