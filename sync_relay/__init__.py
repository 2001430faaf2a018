"""What devices and a relay say to each other.

Empty until devices meet: the wire format, the client and the server come with the relay. The folder is here because
the import contracts already hold for it.
"""
