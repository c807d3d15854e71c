package public

// ReadPresented opens the reading of what is presented to the fuzzers.
var ReadPresented = readPresented
