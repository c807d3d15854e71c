// Reads Token Status Lists with @sd-jwt/jwt-status-list, a reader written by others. That library leaves the signature to its users; Node's own
// cryptography checks it here, with the certificate in the header.
//
// Standard input: {"root": PEM, "lists": [{"jwt": text, "indices": [number, …]}, …]}
// Standard output: one entry for each list, {"typ", "sub", "exp", "iat", "ttl", "aggregation", "bits", "signed": boolean, "statuses": [number, …]}.
import { Buffer } from 'node:buffer';
import { X509Certificate, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { getListFromStatusListJWT } from '@sd-jwt/jwt-status-list';

const json = (part) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));

function signed(jwt, header, root) {
  const signer = new X509Certificate(Buffer.from(header.x5c[0], 'base64'));
  const at = jwt.lastIndexOf('.');
  return header.alg === 'ES256' && signer.verify(new X509Certificate(root).publicKey) &&
    verify('sha256', Buffer.from(jwt.slice(0, at)), { key: signer.publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(jwt.slice(at + 1), 'base64url'));
}

function read(root, { jwt, indices }) {
  const [header, claims] = jwt.split('.', 2).map(json);
  const list = getListFromStatusListJWT(jwt);
  return {
    typ: header.typ,
    sub: claims.sub,
    exp: claims.exp,
    iat: claims.iat,
    ttl: claims.ttl,
    aggregation: claims.status_list.aggregation_uri,
    bits: list.getBitsPerStatus(),
    signed: signed(jwt, header, root),
    statuses: indices.map((index) => list.getStatus(index)),
  };
}

const { root, lists } = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(lists.map((list) => read(root, list))));
