import { X509Certificate, createHash, createPrivateKey } from 'node:crypto';

/** A certificate and, where it is still needed, its private key. */
export interface Certificate {
  readonly pem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface CertifiedKey extends Certificate {
  /** PKCS#8 PEM as bytes; goes to the TLS library and the Secret, nowhere else. */
  readonly keyPem: Buffer;
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const bundleCertificatesMax = 16;

/** The PEM blocks of a bundle, white space normalised so that two bundles compare. */
export function certificatesIn(bundle: string): readonly string[] {
  const blocks = bundle.match(certificateBlock) ?? [];
  return blocks.slice(0, bundleCertificatesMax).map((block) => `${block.replaceAll(/\r/g, '').trim()}\n`);
}

/** @throws when `pem` is not one certificate. */
export function readCertificate(pem: string): Certificate {
  const parsed = new X509Certificate(pem);
  return { pem, notBeforeMs: parsed.validFromDate.getTime(), notAfterMs: parsed.validToDate.getTime() };
}

/** @throws when either cannot be read, or the key is not the certificate's. */
export function readCertifiedKey(pem: string, keyPem: Buffer): CertifiedKey {
  const key = createPrivateKey(keyPem);
  if (!new X509Certificate(pem).checkPrivateKey(key))
    throw new Error('the private key is not the one of the certificate');
  return { ...readCertificate(pem), keyPem };
}

/** Name and signature: what a TLS client will check. */
export function isIssuedBy(certificate: Certificate, authority: Certificate): boolean {
  const issuer = new X509Certificate(authority.pem);
  const issued = new X509Certificate(certificate.pem);
  return issued.checkIssued(issuer) && issued.verify(issuer.publicKey);
}

/** DNS names in the certificate, sorted. */
export function dnsNamesOf(certificate: Certificate): readonly string[] {
  const names = new X509Certificate(certificate.pem).subjectAltName?.split(', ') ?? [];
  return names.flatMap((name) => (name.startsWith('DNS:') ? [name.slice('DNS:'.length)] : [])).sort();
}

/** A number in [0, 1) that is the same for the same certificate on every replica. */
export function jitterOf(certificate: Certificate): number {
  return createHash('sha256').update(certificate.pem).digest().readUInt32BE(0) / 2 ** 32;
}
