// Package format reads document-format files and turns what is known of a person into the data elements of an mdoc.
//
// A document format says which docType, name spaces and data elements a document has, of which CBOR type each element is, where its
// value comes from, which are mandatory and how they are called in the languages of the holders. Formats are YAML files: some are shipped
// inside the program, operators add their own. docs/formats.md describes the file. Before anybody uses a format, a Preview shows what a
// document of it would hold.
//
// The package does not sign or encode anything (that is package mdoc's matter), stores nothing, reads no clock, and knows no docType in
// Go code except for one rule: the status of an mDL has one bit (ISO/IEC 18013-5 12.3.6).
//
// Errors name elements and sources, never the values of a person.
package format
