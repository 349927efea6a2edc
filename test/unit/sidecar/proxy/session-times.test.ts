import { expect, test } from 'vitest';
import { newRecord } from '#sidecar/proxy/record.ts';
import { idleSessionMs, SessionTimes } from '#sidecar/proxy/session-times.ts';
import { sessionLabels } from '#sidecar/telemetry/session-labels.ts';

function at(startedMs: number) {
  return newRecord('POST', { startedMs, at: new Date(0) });
}

test('a session that is ended is told with the request that ended it, once', () => {
  const times = new SessionTimes();
  times.begin('s', at(1_000));
  times.use('s', at(2_000), '2025-11-25');
  const [ending, again] = [at(5_000), at(6_000)];
  times.end('s', ending, undefined);
  times.end('s', again, undefined);
  expect(ending.endedSessions).toEqual([
    { begunMs: 1_000, endedMs: undefined, protocolVersion: '2025-11-25', errorType: undefined },
  ]);
  expect(again.endedSessions).toBeUndefined();
});

test('a session that nobody has used for an hour ended when it was used last', () => {
  const times = new SessionTimes();
  times.begin('left', at(0));
  times.begin('used', at(1));
  times.use('left', at(60_000), '2025-06-18');
  times.use('used', at(idleSessionMs), '2025-06-18');
  const next = at(idleSessionMs + 60_001);
  times.begin('next', next);
  expect(next.endedSessions).toEqual([
    { begunMs: 0, endedMs: 60_000, protocolVersion: '2025-06-18', errorType: undefined },
  ]);
});

test('sessions without end are bounded, the longest unused goes first', () => {
  const times = new SessionTimes();
  for (let index = 0; index < 17_000; index += 1) times.begin(`s-${index}`, at(0));
  const [first, last] = [at(1), at(1)];
  times.end('s-0', first, undefined);
  times.end('s-16999', last, '404');
  expect(first.endedSessions).toBeUndefined();
  expect(last.endedSessions).toMatchObject([{ errorType: '404' }]);
});

test.each([
  ['2025-11-25', undefined, 'mcp_protocol_version="2025-11-25"'],
  ['2099-01-01"} 1\n', '404', 'mcp_protocol_version="_OTHER",error_type="404"'],
  [undefined, undefined, ''],
] as const)('its labels are of small sets, whatever the client says (%j)', (protocolVersion, errorType, labels) => {
  expect(sessionLabels({ begunMs: 0, endedMs: undefined, protocolVersion, errorType })).toBe(labels);
});
