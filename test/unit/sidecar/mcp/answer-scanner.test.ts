import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AnswerScanner, type ServerMessage } from '#sidecar/mcp/answer-scanner.ts';
import { StatusReader } from '#sidecar/mcp/status-reader.ts';

const encoder = new TextEncoder();
const nothing: ServerMessage = {
  id: undefined,
  isCall: false,
  rpcStatus: undefined,
  isError: undefined,
  taskId: undefined,
};

function scan(...texts: readonly string[]): ServerMessage {
  const scanner = new AnswerScanner();
  for (const text of texts) scanner.feed(encoder.encode(text));
  return scanner.read();
}

test.each<[string, Partial<ServerMessage>]>([
  ['{"jsonrpc":"2.0","id":1,"result":{}}', { id: 1, rpcStatus: 0 }],
  ['{"result":{"content":[{"isError":false}],"isError":true},"id":"a"}', { id: 'a', rpcStatus: 0, isError: true }],
  ['{"id":-3,"error":{"message":"code\\":5","data":{"code":7},"code":-32602}}', { id: -3, rpcStatus: -32_602 }],
  ['{"id":1,"error":null,"result":{}}', { id: 1, rpcStatus: 0 }],
  ['{"id":1,"error":{"code":"no number"}}', { id: 1 }],
  ['{"id":0,"method":"sampling/createMessage","params":{"id":9}}', { id: 0, isCall: true }],
  ['{"method":"notifications/progress"}', { isCall: true }],
  ['{"id":1,"result":{"task":{"taskId":"t","status":"working"}}}', { id: 1, rpcStatus: 0, taskId: 't' }],
  ['{"id":1,"result":{"taskId":"t","resultType":"task"}}', { id: 1, rpcStatus: 0, taskId: 't' }],
  ['{"id":1,"result":{"taskId":"t","resultType":"complete"}}', { id: 1, rpcStatus: 0 }],
  ['{"id":1,"result":{"content":{"task":{"taskId":"t"}}}}', { id: 1, rpcStatus: 0 }],
  ['{"\\u0069d":"\\u00e9\\n","result":[{"isError":true}]}', { id: 'é\n', rpcStatus: 0 }],
  ['{"id":"grüße","result":{}}', { id: 'grüße', rpcStatus: 0 }],
  [`{"id":"${'x'.repeat(600)}","result":{"isError":true}}`, { rpcStatus: 0, isError: true }],
  [`{"${'x'.repeat(600)}":true,"id":1}`, { id: 1 }],
  ['[{"id":1,"result":{}}]', {}],
  ['"text"', {}],
  ['}}}]{"id":1}', {}],
  ['', {}],
])('reads %s', (text, expected) => {
  expect(scan(text)).toEqual({ ...nothing, ...expected });
  expect(scan(...text.split(''))).toEqual(scan(text));
});

test.each([
  ['{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}', 0],
  ['{"result":"text"}', 0],
  ['{"error":{"message":"m","code":-32601}}', -32_601],
  [`{"more":"${'x'.repeat(10_000)}","error":{"code":5}}`, 5],
  ['{"jsonrpc":"2.0","id":1', undefined],
])('knows early how %s turned out', (text, rpcStatus) => {
  const reader = new StatusReader();
  for (const byte of encoder.encode(text)) reader.feed(Uint8Array.of(byte));
  expect(reader.read().rpcStatus).toBe(rpcStatus);
  const whole = new StatusReader();
  whole.feed(encoder.encode(text));
  expect(whole.read().rpcStatus).toBe(rpcStatus);
});

test('reads the next message as if it were the first', () => {
  const scanner = new AnswerScanner();
  scanner.feed(encoder.encode('{"id":1,"result":{"isError":tr'));
  scanner.reset();
  scanner.feed(encoder.encode('{"id":2,"error":{"code":5}}'));
  expect(scanner.read()).toEqual({ ...nothing, id: 2, rpcStatus: 5 });
});

test('reads what a parser reads, cut anywhere', () => {
  const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('\\', '"', '\\"', 'task', '{', '}', 'é'));
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      text,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 4 }),
    ),
  })).value;
  const result = fc.record(
    {
      isError: fc.boolean(),
      content: value,
      taskId: text,
      resultType: fc.constantFrom('task', 'complete'),
      more: value,
    },
    { requiredKeys: [] },
  );
  const message = fc.record(
    {
      more: value,
      result: fc.oneof(result, fc.record({ task: fc.record({ more: value, taskId: text }) })),
      error: fc.record({ message: text, data: value, code: fc.integer() }),
      id: fc.oneof(text, fc.integer()),
      method: text,
      after: value,
    },
    { requiredKeys: [] },
  );
  const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 8 });
  fc.assert(
    fc.property(message, cuts, fc.nat({ max: 2 }), (sent, at, indent) => {
      const bytes = encoder.encode(JSON.stringify(sent, undefined, indent));
      const scanner = new AnswerScanner();
      const places = [0, ...at.filter((place) => place < bytes.length).sort((a, b) => a - b), bytes.length];
      for (const [index, place] of places.entries()) if (index > 0) scanner.feed(bytes, places[index - 1], place);
      expect(scanner.read()).toEqual(expectedOf(JSON.parse(JSON.stringify(sent))));
    }),
    { numRuns: 2_000 },
  );
});

const key = fc.oneof(
  fc.string({ maxLength: 5 }),
  fc.constantFrom('id', 'method', 'result', 'error', 'isError', 'code'),
);

interface Sent {
  readonly id?: string | number;
  readonly method?: string;
  readonly error?: { readonly code: number };
  readonly result?: {
    readonly isError?: boolean;
    readonly taskId?: string;
    readonly resultType?: string;
    readonly task?: { readonly taskId: string };
  };
}

function expectedOf({ id, method, error, result }: Sent): ServerMessage {
  return {
    id,
    isCall: method !== undefined,
    rpcStatus: error?.code ?? (result === undefined ? undefined : 0),
    isError: result?.isError,
    taskId: result?.task?.taskId ?? (result?.resultType === 'task' ? result.taskId : undefined),
  };
}
