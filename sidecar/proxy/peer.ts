const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * Pure. Who a connection comes from, for sharing out what is scarce: an IPv4 address, or the first 64 bits of an IPv6 one, as whoever
 * has a network has all of its addresses. `undefined`, of a connection that is gone already, is a peer as well.
 */
export function peerOf(address: string | undefined): string {
  if (address === undefined) return '';
  const inside = mapped.exec(address)?.[1];
  if (inside !== undefined) return inside;
  if (!address.includes(':')) return address;
  const [left = '', right] = address.split('::');
  const head = groupsOf(left);
  const tail = right === undefined ? [] : groupsOf(right);
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0');
  const network = [...head, ...zeros, ...tail].slice(0, 4);
  return `${network.join(':')}::/64`;
}

function groupsOf(text: string): readonly string[] {
  return text === '' ? [] : text.split(':');
}
