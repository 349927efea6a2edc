import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const lifeMs = 7 * 24 * 3_600_000;

export interface TestCertificate {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A fresh CA and one server certificate of it, PEM, for servers that demo and tests start. */
export async function makeTestCertificate(
  dnsNames: readonly string[],
  /** Since when the server's certificate is no longer good; absent: it is. */
  expired?: { readonly sinceMs: number },
): Promise<TestCertificate> {
  const [authorityKeys, serverKeys] = await Promise.all([generateKeys(), generateKeys()]);
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + lifeMs) };
  const authority = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=demo CA',
    keys: authorityKeys,
    signingAlgorithm: algorithm,
    ...validity,
    extensions: [new BasicConstraintsExtension(true)],
  });
  const server: X509Certificate = await X509CertificateGenerator.create({
    subject: `CN=${dnsNames[0] ?? 'localhost'}`,
    issuer: authority.subject,
    publicKey: serverKeys.publicKey,
    signingKey: authorityKeys.privateKey,
    signingAlgorithm: algorithm,
    ...(expired === undefined ? validity : validityUntil(Date.now() - expired.sinceMs)),
    extensions: [
      new SubjectAlternativeNameExtension(
        dnsNames.map((value) => ({ type: /^[\d.]+$/u.test(value) ? ('ip' as const) : ('dns' as const), value })),
      ),
    ],
  });
  return {
    ca: authority.toString('pem'),
    cert: server.toString('pem'),
    key: await privateKeyPem(serverKeys.privateKey),
  };
}

function validityUntil(endMs: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(endMs - lifeMs), notAfter: new Date(endMs) };
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}/gu, '$&\n')}\n-----END PRIVATE KEY-----\n`;
}
