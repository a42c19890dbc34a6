"""Every file that the project writes and reads back: whole or not at all, with a checksum, refused in one sentence."""
