"""The commands, a module each: from arguments to what is printed. Heavy imports wait until they are needed."""
