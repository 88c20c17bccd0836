"""Software: formats, the network contract, the golden model, training, the front door."""
