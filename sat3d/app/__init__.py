"""The web page: pictures of a frozen generator, edited side by side, by anybody who can open a browser."""
