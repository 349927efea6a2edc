/**
 * Which addresses a key may be sent to. A name that somebody declares must not lead the proxy to where only it can go: the pods and
 * nodes around it, itself, or the cloud's metadata service.
 */
import { isIPv4, isIPv6 } from 'node:net';

/**
 * `private`: of a network that the administrator of the server may say is meant (`allowPrivateAddresses`).
 * `never`: nobody runs an MCP server there.
 */
export type AddressKind = 'public' | 'private' | 'never';

interface Range {
  readonly range: string;
  readonly kind: Exclude<AddressKind, 'public'>;
}

/** IANA special-purpose address registries (RFC 6890), and the metadata services of clouds that are not link-local. First match counts. */
const ranges: readonly Range[] = [
  // Metadata: AWS, GCP, Azure and others; AWS ECS; AWS over IPv6; Alibaba; Azure's WireServer, a public address.
  never('169.254.169.254/32'),
  never('169.254.170.0/24'),
  never('fd00:ec2::/32'),
  never('100.100.100.200/32'),
  // GCP over IPv6, Tencent.
  never('fd20:ce::254/128'),
  never('169.254.0.23/32'),
  never('168.63.129.16/32'),
  // This network; protocol assignments (Oracle's metadata among them); documentation; 6to4 relays; benchmarks; multicast; reserved with the broadcast address.
  never('0.0.0.0/8'),
  never('192.0.0.0/24'),
  never('192.0.2.0/24'),
  never('192.88.99.0/24'),
  never('198.18.0.0/15'),
  never('198.51.100.0/24'),
  never('203.0.113.0/24'),
  never('224.0.0.0/4'),
  never('240.0.0.0/4'),
  // Private (RFC 1918), shared by carriers and clusters (RFC 6598), loopback, link-local.
  onRequest('10.0.0.0/8'),
  onRequest('172.16.0.0/12'),
  onRequest('192.168.0.0/16'),
  onRequest('100.64.0.0/10'),
  onRequest('127.0.0.0/8'),
  onRequest('169.254.0.0/16'),
  // Loopback, unique local (RFC 4193), link-local.
  onRequest('::1/128'),
  onRequest('fc00::/7'),
  onRequest('fe80::/10'),
  // Within global unicast: protocol assignments with Teredo, documentation, 6to4, which hides an IPv4 address.
  never('2001::/23'),
  never('2001:db8::/32'),
  never('2002::/16'),
  never('3fff::/20'),
];

/** The only part of IPv6 that is routed in public: everything else is something special. */
const globalUnicast = parseRange('2000::/3');
/** IPv4 addresses as IPv6 writes them: mapped (RFC 4291) and through NAT64 (RFC 6052). The address inside counts. */
const ipv4Carriers: readonly ParsedRange[] = ['::ffff:0:0/96', '64:ff9b::/96'].map(parseRange);

const parsedRanges = ranges.map(({ range, kind }) => ({ ...parseRange(range), kind }));

/** Pure. `undefined` for what is no IP address. A zone (`%eth0`) is none: it names an interface of ours. */
export function addressKind(address: string): AddressKind | undefined {
  const bytes = parseAddress(address);
  return bytes === undefined ? undefined : kindOf(bytes);
}

function kindOf(bytes: AddressBytes): AddressKind {
  if (ipv4Carriers.some((carrier) => contains(carrier, bytes))) return kindOf(bytes.slice(12));
  const special = parsedRanges.find((range) => contains(range, bytes));
  if (special !== undefined) return special.kind;
  return bytes.length === 4 || contains(globalUnicast, bytes) ? 'public' : 'never';
}

/** Four or sixteen bytes. */
type AddressBytes = readonly number[];

interface ParsedRange {
  readonly bytes: AddressBytes;
  readonly bits: number;
}

function never(range: string): Range {
  return { range, kind: 'never' };
}

function onRequest(range: string): Range {
  return { range, kind: 'private' };
}

function parseRange(text: string): ParsedRange {
  const [address = '', bits] = text.split('/');
  return { bytes: parseAddress(address) ?? [], bits: Number(bits) };
}

function parseAddress(text: string): AddressBytes | undefined {
  if (isIPv4(text)) return text.split('.').map(Number);
  return isIPv6(text) && !text.includes('%') ? parseIPv6(text) : undefined;
}

/** `text` is known to be one (RFC 4291, 2.2). */
function parseIPv6(text: string): AddressBytes {
  const [left = '', right] = text.split('::');
  const head = groups(left);
  if (right === undefined) return head;
  const tail = groups(right);
  const zeros = Array.from({ length: 16 - head.length - tail.length }, () => 0);
  return [...head, ...zeros, ...tail];
}

function groups(text: string): AddressBytes {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function contains({ bytes, bits }: ParsedRange, address: AddressBytes): boolean {
  if (bytes.length !== address.length) return false;
  return bytes.every((byte, index) => {
    const significant = Math.min(8, Math.max(0, bits - index * 8));
    const mask = (0xff00 >> significant) & 0xff;
    return (byte & mask) === ((address[index] ?? 0) & mask);
  });
}
