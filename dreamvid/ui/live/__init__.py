"""Control a live dream from outside: a page in the browser, OSC, MIDI and keys."""
