import { expect, test, vi } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { Fields } from '#sidecar/http1/fields.ts';
import { Completions } from '#sidecar/ladder/completions.ts';
import type { OutgoingRequest } from '#sidecar/proxy/exchange.ts';
import { granted, missing } from '../proxy/world.ts';

/** A broker whose notices a test gives, and streams whose events it sees. */
function setUp() {
  let lease: LeaseResponse = missing;
  const notices = new Set<() => void>();
  const completions = new Completions({
    lease: async () => lease,
    changed: (_subjectKey, signal) =>
      new Promise((resolve) => {
        notices.add(resolve);
        signal.addEventListener('abort', () => {
          notices.delete(resolve);
          resolve();
        });
      }),
  });
  const seen: string[] = [];
  const open = (session: string) =>
    completions.listen(requestOf(session), (event) => {
      seen.push(new TextDecoder().decode(event));
      return true;
    });
  const setLease = (next: LeaseResponse): void => {
    lease = next;
    for (const notice of notices) notice();
  };
  return { completions, seen, open, setLease, notices };
}

function requestOf(sessionIdHash: string): OutgoingRequest {
  const headers = new Fields();
  headers.set('authorization', 'Bearer alice');
  return { headers, permission: missing, record: { sessionIdHash } } as unknown as OutgoingRequest;
}

const asked = { elicitationId: 'e-1', refusedVersion: undefined };
const event =
  'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e-1"}}\n\n';

test('a stream that opens after the question is told too, once', async () => {
  const { completions, seen, open, setLease } = setUp();
  completions.asked('s-1', asked);
  open('s-1');
  setLease(granted);
  await vi.waitFor(() => expect(seen).toEqual([event]));
  open('s-1');
  setLease(granted);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(seen).toHaveLength(1);
});

test('another session, and one whose stream has ended, are told nothing, and nothing is waited for', async () => {
  const { completions, seen, open, setLease, notices } = setUp();
  open('s-2');
  const ended = open('s-1');
  completions.asked('s-1', asked);
  await vi.waitFor(() => expect(notices.size).toBe(1));
  ended();
  await vi.waitFor(() => expect(notices.size).toBe(0));
  setLease(granted);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(seen).toEqual([]);
});

test('the version that was refused is no news', async () => {
  const { completions, seen, open, setLease } = setUp();
  open('s-1');
  completions.asked('s-1', { ...asked, refusedVersion: granted.keyVersion });
  setLease(granted);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(seen).toEqual([]);
  setLease({ ...granted, keyVersion: granted.keyVersion + 1 });
  await vi.waitFor(() => expect(seen).toEqual([event]));
});

test('no more sessions are waited for than there are places, and no more is said than was asked last', async () => {
  const { completions, seen, open, setLease, notices } = setUp();
  for (let index = 0; index < 400; index += 1) {
    open(`s-${index}`);
    completions.asked(`s-${index}`, asked);
  }
  await vi.waitFor(() => expect(notices.size).toBe(256));
  for (let time = 0; time < 30; time += 1) completions.asked('s-0', asked);
  setLease(granted);
  await vi.waitFor(() => expect(seen.length).toBe(255 + 8));
});
