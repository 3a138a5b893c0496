//! Links from machine to machine, past the server: encrypted end to end, direct where the network allows it, else
//! over the relay of our own server.
