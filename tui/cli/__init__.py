"""The commands of `safelight`: how they are found, what they share, and one module for each."""
