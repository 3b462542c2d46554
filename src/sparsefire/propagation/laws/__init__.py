"""Laws of a network at initialisation: what depth does to a signal, in numbers. No torch here."""
