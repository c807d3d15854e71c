// Verifies mdocs with @auth0/mdl, a verifier written by others.
//
// Standard input: {"roots": [PEM, …], "documents": [{"docType": …, "issuerSigned": base64}, …]}
// Standard output: one entry for each document, {"checks": [{"category", "id", "status", "check", "reason"}],
// "elements": {name space: {identifier: value}}}, or {"error": …} for one that cannot be read.
// Values: bytes as {"bytes": base64}, full-date as {"fullDate"}, tdate as {"tdate"}.
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';

import { DataItem, Verifier, parse } from '@auth0/mdl';

const major = { bytes: 0x40, text: 0x60 };

// head writes the beginning of a CBOR data item (RFC 8949, 3).
function head(type, length) {
  if (length < 24) return Buffer.from([type | length]);
  if (length < 256) return Buffer.from([type | 24, length]);
  return Buffer.from([type | 25, length >> 8, length & 0xff]);
}

function text(value) {
  const utf8 = Buffer.from(value, 'utf8');
  return Buffer.concat([head(major.text, utf8.length), utf8]);
}

// deviceResponse puts the bytes of an IssuerSigned, as they are, into a DeviceResponse without deviceSigned.
function deviceResponse(docType, issuerSigned) {
  return Buffer.concat([
    Buffer.from([0xa3]),
    text('version'), text('1.0'),
    text('documents'), Buffer.from([0x81, 0xa2]), text('docType'), text(docType), text('issuerSigned'), issuerSigned,
    text('status'), Buffer.from([0x00]),
  ]);
}

function printable(value) {
  if (value instanceof Date) {
    const text = value.toISOString();
    return value[Symbol.toStringTag] === 'DateOnly' ? { fullDate: text } : { tdate: text };
  }
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('base64') };
  if (value instanceof DataItem) return printable(value.data);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, member]) => [key, printable(member)]));
  if (Array.isArray(value)) return value.map(printable);
  return value;
}

async function verify(roots, { docType, issuerSigned }) {
  const response = deviceResponse(docType, Buffer.from(issuerSigned, 'base64'));
  const checks = [];
  try {
    await new Verifier(roots).verify(response, {
      onCheck: ({ category, id, status, check, reason }) => checks.push({ category, id, status, check, reason }),
    });
    const [document] = parse(response).documents;
    const elements = Object.fromEntries(document.issuerSignedNameSpaces.map((nameSpace) => [
      nameSpace,
      Object.fromEntries(Object.entries(document.getIssuerNameSpace(nameSpace)).map(([name, value]) => [name, printable(value)])),
    ]));
    return { checks, elements };
  } catch (error) {
    return { checks, error: String(error) };
  }
}

const { roots, documents } = JSON.parse(readFileSync(0, 'utf8'));
const results = [];
for (const document of documents) {
  results.push(await verify(roots, document));
}
process.stdout.write(JSON.stringify(results));
