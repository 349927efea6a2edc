import { AnswerScanner, type ServerMessage } from '../mcp/answer-scanner.ts';
import { EventLines } from '../mcp/event-lines.ts';
import { nameParameter } from '../mcp/methods.ts';
import type { OutgoingRequest } from './exchange.ts';
import type { MessageStream } from './message-streams.ts';
import type { Ownership } from './ownership.ts';

/** What the server's messages to one request mean for the record of that request, and for whose is what. */
export class AnswerNotes {
  readonly #request: OutgoingRequest;
  readonly #ownership: Ownership;
  readonly #stream: MessageStream | undefined;

  /** `stream`: the answers are to requests that came another way. */
  constructor(request: OutgoingRequest, ownership: Ownership, stream?: MessageStream) {
    this.#request = request;
    this.#ownership = ownership;
    this.#stream = stream;
  }

  take(message: ServerMessage): void {
    if (message.isCall) this.#takeQuestion(message);
    else this.#takeAnswer(message);
  }

  /** In the modern era servers do not ask, so there is nothing to answer. */
  #takeQuestion({ id }: ServerMessage): void {
    const { record, message } = this.#request;
    const isModern = message?.kind === 'request' && message.era === 'modern';
    if (id !== undefined && !isModern) this.#ownership.ask(record, id);
  }

  #takeAnswer(answer: ServerMessage): void {
    const { record, message } = this.#request;
    if (answer.taskId !== undefined) this.#ownership.beginTask(record, answer.taskId);
    this.#stream?.take(answer);
    // A stream that is resumed brings answers to requests of before.
    if (message?.kind !== 'request' || (answer.id !== undefined && answer.id !== message.id)) return;
    record.rpcStatus = answer.rpcStatus;
    record.isError = answer.isError;
    record.begunTaskId = answer.taskId;
    if (answer.rpcStatus === 0 && message.name !== undefined && nameParameter(message.method) === 'taskId') {
      this.#ownership.useTask(record, message.name);
    }
  }
}

/** Takes note of every event that holds a message. */
export function eventLines(notes: AnswerNotes): EventLines {
  const scanner = new AnswerScanner();
  let hasData = false;
  return new EventLines({
    value(field, { bytes, start, end }) {
      if (field !== 'data') return;
      hasData = true;
      scanner.feed(bytes, start, end);
    },
    eventEnd() {
      if (!hasData) return;
      hasData = false;
      notes.take(scanner.read());
      scanner.reset();
    },
  });
}
