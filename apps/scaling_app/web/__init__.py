"""The web server, whoever asks and whatever it serves: what stands before the routes, what they share, what an error is answered with."""
