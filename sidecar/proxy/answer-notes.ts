import type { ServerMessage } from '../mcp/answer-scanner.ts';
import { nameParameter } from '../mcp/methods.ts';
import type { OutgoingRequest } from './exchange.ts';
import type { Ownership } from './ownership.ts';

/** What the server's messages to one request mean for the record of that request, and for whose is what. */
export class AnswerNotes {
  readonly #request: OutgoingRequest;
  readonly #ownership: Ownership;

  constructor(request: OutgoingRequest, ownership: Ownership) {
    this.#request = request;
    this.#ownership = ownership;
  }

  take(message: ServerMessage): void {
    if (message.method !== undefined) this.#takeQuestion(message);
    else this.#takeAnswer(message);
  }

  #takeQuestion({ id }: ServerMessage): void {
    if (id !== undefined) this.#ownership.ask(this.#request.record, id);
  }

  #takeAnswer(answer: ServerMessage): void {
    const { record, message } = this.#request;
    if (answer.taskId !== undefined) this.#ownership.beginTask(record, answer.taskId);
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
