"""The long half of the tests: the same machines, kills and parsers for as long as one likes (`make soak`)."""
