import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EventLines } from '#sidecar/mcp/event-lines.ts';
import { EventSplitter, EventTooLong, type StreamEvent } from '#sidecar/mcp/event-splitter.ts';
import { verifies } from '#test/requirements.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

interface Seen {
  readonly type: string;
  readonly data: string;
  readonly raw: string;
}

function seen(events: readonly StreamEvent[]): readonly Seen[] {
  return events.map(({ type, data, raw }) => ({ type, data, raw: decoder.decode(raw) }));
}

function split(...chunks: readonly (string | Uint8Array)[]) {
  const splitter = new EventSplitter({ bytesMax: 10_000 });
  const events = chunks.flatMap((chunk) => splitter.feed(typeof chunk === 'string' ? encoder.encode(chunk) : chunk));
  return { events: seen(events), rest: decoder.decode(splitter.rest()) };
}

/** HTML standard, "Interpreting an event stream", word by word. */
function dispatched(text: string): readonly { type: string; data: string }[] {
  const events: { type: string; data: string }[] = [];
  let data = '';
  let type = '';
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/);
  for (const line of lines.slice(0, -1)) {
    if (line === '') {
      if (data !== '') events.push({ type, data: data.slice(0, -1) });
      data = '';
      type = '';
      continue;
    }
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') data += `${value}\n`;
    else if (name === 'event') type = value;
  }
  return events;
}

describe('an event stream', () => {
  test.each<[string, Seen[], string]>([
    ['data: a\n\n', [{ type: '', data: 'a', raw: 'data: a\n\n' }], ''],
    ['data:a\r\rdata:b\r\r', ['a', 'b'].map((data) => ({ type: '', data, raw: `data:${data}\r\r` })), ''],
    ['event: x\r\ndata: a\r\n\r\n', [{ type: 'x', data: 'a', raw: 'event: x\r\ndata: a\r\n\r\n' }], ''],
    [
      'data: 1\ndata\ndata: \ndata:  2\n\n',
      [{ type: '', data: '1\n\n\n 2', raw: 'data: 1\ndata\ndata: \ndata:  2\n\n' }],
      '',
    ],
    ['id: 7\ndata: \n\nrest', [{ type: '', data: '', raw: 'id: 7\ndata: \n\n' }], 'rest'],
    [': hi\n\n', [{ type: '', data: '', raw: ': hi\n\n' }], ''],
    ['event: a\nevent: b\ndata: 1\n\n', [{ type: 'b', data: '1', raw: 'event: a\nevent: b\ndata: 1\n\n' }], ''],
    ['\uFEFFdata: 1\n\n', [{ type: '', data: '1', raw: 'data: 1\n\n' }], ''],
    ['data-x: 1\nevent-y: 2\nDATA: 3\n\n', [{ type: '', data: '', raw: 'data-x: 1\nevent-y: 2\nDATA: 3\n\n' }], ''],
  ])('%j', (text, events, rest) => {
    expect(split(text)).toEqual({ events, rest });
  });

  test(verifies('mcp:18-sse-parsing'), () => {
    const word = fc.constantFrom(
      'data',
      'event',
      'id',
      'retry',
      'other',
      ':',
      ': ',
      ' ',
      '\n',
      '\r',
      '\r\n',
      'é',
      '\u{1F600}',
      '{"a":1}',
      '\uFEFF',
    );
    const text = fc.array(word, { maxLength: 60 }).map((words) => words.join(''));
    const cuts = fc.array(fc.nat({ max: 200 }), { maxLength: 20 });
    fc.assert(
      fc.property(text, cuts, (stream, at) => {
        const bytes = encoder.encode(stream);
        const places = [0, ...at.filter((place) => place <= bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((place, index) => bytes.subarray(places[index], place));
        const splitter = new EventSplitter({ bytesMax: 10_000 });
        const events = chunks.flatMap((chunk) => splitter.feed(chunk));
        const found = events.filter((event) => event.hasData).map(({ type, data }) => ({ type, data }));
        expect(found).toEqual(dispatched(stream));
        expect(Buffer.concat([...events.map(({ raw }) => raw), splitter.rest()])).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 2_000 },
    );
  });

  test('keeps back no more of an event than it may', () => {
    const splitter = new EventSplitter({ bytesMax: 20 });
    expect(splitter.feed(encoder.encode('data: 0123456789\n\n'))).toHaveLength(1);
    splitter.feed(encoder.encode('data: 0123456789'));
    expect(() => splitter.feed(encoder.encode('0123456789'))).toThrow(EventTooLong);
    const whole = new EventSplitter({ bytesMax: 20 });
    expect(() => whole.feed(encoder.encode(`data: ${'0'.repeat(20)}\n\n`))).toThrow(EventTooLong);
  });

  test('can take a comment only between events', () => {
    const lines = new EventLines({ value: () => {}, eventEnd: () => {} });
    const places = 'data: a\n\n: c\nevent: x\r\n\r\nid: 1\r\r\uFEFF'.split('').map((character) => {
      lines.feed(encoder.encode(character));
      return lines.atBoundary ? '|' : '.';
    });
    expect(places.join('')).toBe(`${'.'.repeat(8)}|...|${'.'.repeat(10)}||${'.'.repeat(6)}|.`);
  });
});
