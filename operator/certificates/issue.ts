// @peculiar/x509 asks for this before it is loaded itself.
import 'reflect-metadata';

import { KeyObject, createPrivateKey, randomBytes } from 'node:crypto';
import type { webcrypto } from 'node:crypto';

import * as x509 from '@peculiar/x509';

import { readCertifiedKey } from './certified-key.ts';
import type { CertifiedKey } from './certified-key.ts';
import type { CertificateLifetimes } from './lifetimes.ts';

const curve = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signature = { ...curve, hash: 'SHA-256' } as const;
const organization = 'MCP Keyring';

/** A new self-signed CA. Its name is unique, so that a bundle with two of them leads to the right one. */
export async function issueAuthority(nowMs: number, lifetimes: CertificateLifetimes): Promise<CertifiedKey> {
  const keys = await crypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const serialNumber = randomSerial();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    name: `O=${organization}, CN=mcp-keyring-ca-${serialNumber.slice(0, 12)}`,
    notBefore: new Date(nowMs - lifetimes.backdateMs),
    notAfter: new Date(nowMs + lifetimes.caLifeMs),
    signingAlgorithm: signature,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return certified(certificate, keys.privateKey);
}

export interface LeafOptions {
  readonly authority: CertifiedKey;
  readonly dnsNames: readonly string[];
  readonly nowMs: number;
  readonly lifetimes: CertificateLifetimes;
}

/** A new serving certificate with a new key. It never outlives its CA. */
export async function issueLeaf({ authority, dnsNames, nowMs, lifetimes }: LeafOptions): Promise<CertifiedKey> {
  const keys = await crypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const issuer = new x509.X509Certificate(authority.pem);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: `O=${organization}, CN=mcp-keyring-operator`,
    issuer: issuer.subjectName,
    notBefore: new Date(nowMs - lifetimes.backdateMs),
    notAfter: new Date(leafEndMs({ authority, nowMs, lifetimes })),
    signingAlgorithm: signature,
    publicKey: keys.publicKey,
    signingKey: createPrivateKey(authority.keyPem).toCryptoKey(curve, false, ['sign']),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value }))),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return certified(certificate, keys.privateKey);
}

/** When a leaf made now ends. */
export function leafEndMs(options: Pick<LeafOptions, 'authority' | 'nowMs' | 'lifetimes'>): number {
  return Math.min(options.nowMs + options.lifetimes.leafLifeMs, options.authority.notAfterMs);
}

/** X.509 demands a positive number of at most 20 octets. */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function certified(certificate: x509.X509Certificate, privateKey: webcrypto.CryptoKey): CertifiedKey {
  const keyPem = KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' });
  return readCertifiedKey(`${certificate.toString('pem').trim()}\n`, Buffer.from(keyPem));
}
