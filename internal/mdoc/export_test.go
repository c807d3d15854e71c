package mdoc

// DeviceAuthentication opens the bytes that device signature and device MAC cover to the tests.
var DeviceAuthentication = deviceAuthentication

// UnwrapEncoded opens the reading of #6.24(bstr) to the tests.
var UnwrapEncoded = unwrapEncoded
