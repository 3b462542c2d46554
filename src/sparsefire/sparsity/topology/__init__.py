"""When masks move and what grows back."""
