"""E-mail: the bytes of a message as a mail server hands it over -> what is read of it."""
