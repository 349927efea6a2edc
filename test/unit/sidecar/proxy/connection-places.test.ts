import { describe, expect, test } from 'vitest';
import { connectionLimits, ConnectionPlaces, type Placed } from '#sidecar/proxy/connection-places.ts';

const limits = { connectionsMax: 8, peerConnectionsMax: 6, newPeersMin: 2 };

function filled(peers: string, waitingSinceMs: (index: number) => number | undefined) {
  const places = new ConnectionPlaces<Placed & { readonly index: number }>(limits);
  const all = peers.split('').map((peer, index) => ({ peer, index, waitingSinceMs: waitingSinceMs(index) }));
  for (const connection of all) places.add(connection);
  return { places, all };
}

const busy = () => undefined;

describe('places for connections', () => {
  test('leave files for what the proxy itself and its servers need', () => {
    expect(connectionLimits(1_048_576)).toEqual({
      connectionsMax: 10_000,
      peerConnectionsMax: 7_500,
      newPeersMin: 1_250,
    });
    expect(connectionLimits(4_096).connectionsMax).toBe(1_792);
    // Too few for anything: better to fail at some than to serve none.
    expect(connectionLimits(256).connectionsMax).toBe(64);
  });

  test('are free until a peer has its share, and the last ones for peers that have none', () => {
    expect(filled('aaaaa', busy).places.placeFor('a')).toEqual({ kind: 'free' });
    expect(filled('aaaaaa', busy).places.placeFor('a')).toEqual({ kind: 'none' });
    expect(filled('aaaaaa', busy).places.placeFor('b')).toEqual({ kind: 'free' });
    expect(filled('aaaaab', busy).places.placeFor('b')).toEqual({ kind: 'none' });
    expect(filled('aaaaabc', busy).places.placeFor('d')).toEqual({ kind: 'free' });
    expect(filled('aaaaabcd', busy).places.placeFor('e')).toEqual({ kind: 'none' });
  });

  test('are made by the connection that has waited longest: of the peer that has enough, else of anybody', () => {
    const { places, all } = filled('baaaaaa', (index) => (index === 3 ? undefined : 10 + index));
    expect(places.placeFor('a')).toEqual({ kind: 'instead', of: all[1] });
    expect(places.placeFor('b')).toEqual({ kind: 'instead', of: all[0] });
    for (const gone of [all[1]!, all[2]!, all[2]!]) places.delete(gone);
    expect(places.placeFor('a')).toEqual({ kind: 'free' });
    expect(places.size).toBe(5);
  });

  test('are looked for among all in turn, a few at a time', () => {
    const many = new ConnectionPlaces<Placed>({ connectionsMax: 200, peerConnectionsMax: 200, newPeersMin: 0 });
    for (let index = 0; index < 200; index += 1) {
      many.add({ peer: 'a', waitingSinceMs: index === 150 ? 1 : undefined });
    }
    const found = Array.from({ length: 4 }, () => many.placeFor('a').kind);
    expect(found.filter((kind) => kind === 'instead')).toHaveLength(1);
  });
});
