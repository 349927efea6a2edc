import { certificatesIn, isIssuedBy, readCertificate, readCertifiedKey } from './certified-key.ts';
import type { Certificate, CertifiedKey } from './certified-key.ts';

/** The chart makes it empty; the operator fills it in. Key names are in `stateKeys`. */
export const tlsSecretName = 'mcp-keyring-tls';

/** All certificates of an installation, as the Secret holds them. */
export interface TlsState {
  /** Signs leaves. */
  readonly active: CertifiedKey;
  /** Its successor: published already, not signing yet. */
  readonly staged: CertifiedKey | undefined;
  /** Its predecessors, published until no client can meet a leaf of theirs any more. */
  readonly retired: readonly RetiredAuthority[];
  readonly leaf: CertifiedKey;
}

export interface RetiredAuthority extends Certificate {
  readonly untilMs: number;
}

export type TlsStateReading =
  | { readonly kind: 'empty' }
  /** `problem` names the part, never its content. */
  | { readonly kind: 'unreadable'; readonly problem: string }
  | { readonly kind: 'held'; readonly state: TlsState };

type SecretData = Readonly<Record<string, string>>;

const stateKeys = {
  activeCertificate: 'ca.crt',
  activeKey: 'ca.key',
  stagedCertificate: 'next-ca.crt',
  stagedKey: 'next-ca.key',
  retired: 'retired-ca.crt',
  /** Comma-separated RFC 3339 instants, one for each certificate in `retired`. */
  retiredUntil: 'retired-ca.until',
  leafCertificate: 'tls.crt',
  leafKey: 'tls.key',
} as const;

/** `data` as in a Secret: base64. */
export function readTlsState(data: SecretData | undefined): TlsStateReading {
  if (data === undefined || Object.keys(data).length === 0) return { kind: 'empty' };
  try {
    const active = readPair(data, stateKeys.activeCertificate, stateKeys.activeKey);
    const leaf = readPair(data, stateKeys.leafCertificate, stateKeys.leafKey);
    if (active === undefined || leaf === undefined)
      return { kind: 'unreadable', problem: 'the CA or the leaf is missing' };
    if (!isIssuedBy(leaf, active)) return { kind: 'unreadable', problem: 'the leaf is not of the CA' };
    const staged = readPair(data, stateKeys.stagedCertificate, stateKeys.stagedKey);
    return { kind: 'held', state: { active, staged, retired: readRetired(data), leaf } };
  } catch {
    return { kind: 'unreadable', problem: 'a certificate or a key cannot be parsed' };
  }
}

function readPair(data: SecretData, certificateKey: string, keyKey: string): CertifiedKey | undefined {
  const [certificate, key] = [data[certificateKey], data[keyKey]];
  if (certificate === undefined || key === undefined) return undefined;
  return readCertifiedKey(decoded(certificate), Buffer.from(key, 'base64'));
}

function readRetired(data: SecretData): readonly RetiredAuthority[] {
  const untils = decoded(data[stateKeys.retiredUntil] ?? '').split(',');
  return certificatesIn(decoded(data[stateKeys.retired] ?? '')).map((pem, index) => {
    const certificate = readCertificate(pem);
    const untilMs = Date.parse(untils[index] ?? '');
    return { ...certificate, untilMs: Number.isNaN(untilMs) ? certificate.notAfterMs : untilMs };
  });
}

/** The whole `data` of the Secret. */
export function writeTlsState(state: TlsState): SecretData {
  return {
    [stateKeys.activeCertificate]: encoded(state.active.pem),
    [stateKeys.activeKey]: state.active.keyPem.toString('base64'),
    [stateKeys.leafCertificate]: encoded(state.leaf.pem),
    [stateKeys.leafKey]: state.leaf.keyPem.toString('base64'),
    ...(state.staged === undefined
      ? {}
      : {
          [stateKeys.stagedCertificate]: encoded(state.staged.pem),
          [stateKeys.stagedKey]: state.staged.keyPem.toString('base64'),
        }),
    ...(state.retired.length === 0
      ? {}
      : {
          [stateKeys.retired]: encoded(state.retired.map((authority) => authority.pem).join('')),
          [stateKeys.retiredUntil]: encoded(
            state.retired.map(({ untilMs }) => new Date(untilMs).toISOString()).join(','),
          ),
        }),
  };
}

/** What clients have to trust: successor, signer and predecessors, PEM. */
export function bundleOf(state: TlsState): string {
  const authorities = [...(state.staged === undefined ? [] : [state.staged]), state.active, ...state.retired];
  return authorities.map((authority) => authority.pem).join('');
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

function encoded(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
