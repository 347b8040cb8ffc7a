"""Time loops in compiled code: a whole sequence forward in one call, and its gradient back in another."""
