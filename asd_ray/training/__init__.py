"""One trial: its epochs, its checkpoint, and the warm lane that serves trials one after another."""
