/**
 * The tasks extension (SEP-2663), which SDK v2 leaves to its users: it answers before the SDK's handler does, and what is not about
 * tasks is left to that. Like every server it compares headers with bodies.
 */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT_CAPABILITIES_META_KEY, type McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { say } from './contents.ts';
import type { Posted } from './keyed-server.ts';

export const tasksExtension = 'io.modelcontextprotocol/tasks';

type Json = Readonly<Record<string, unknown>>;

interface Job {
  readonly ms: number;
  /** What has to be answered before it goes on. */
  readonly asks?: readonly string[];
  /** Asked before there is a task, in the result (SEP-2322). */
  readonly asksFirst?: true;
  readonly end: Json;
}

const jobs: Readonly<Record<string, (args: Json, answers: unknown) => Job>> = {
  slow_compute: ({ seconds, label }) => ({
    ms: Number(seconds) * 1_000,
    end: { status: 'completed', result: say(`computed ${String(label)}`) },
  }),
  failing_job: () => ({ ms: 200, end: { status: 'completed', result: { ...say('failed'), isError: true } } }),
  protocol_error_job: () => ({ ms: 100, end: { status: 'failed', error: { code: -32_603, message: 'broken' } } }),
  confirm_delete: () => ({ ms: 0, asks: ['confirm'], end: { status: 'completed', result: say('deleted') } }),
  multi_input: () => ({ ms: 0, asks: ['first', 'second'], end: { status: 'completed', result: say('both') } }),
  test_tool_with_task: (_args, answers) => ({
    ms: 100,
    asksFirst: true,
    end: { status: 'completed', result: say(JSON.stringify(answers)) },
  }),
};

class Task {
  readonly #job: Job;
  readonly #createdAt = new Date();
  readonly #open: Set<string>;
  #isCancelled = false;

  constructor(job: Job) {
    this.#job = job;
    this.#open = new Set(job.asks);
  }

  cancel(): void {
    this.#isCancelled ||= this.state()['status'] === 'working' || this.#open.size > 0;
  }

  answer(keys: readonly string[]): void {
    for (const key of keys) this.#open.delete(key);
  }

  get ttl(): Json {
    const createdAt = this.#createdAt.toISOString();
    return { createdAt, lastUpdatedAt: createdAt, ttlMs: 60_000, pollIntervalMs: 100 };
  }

  state(): Json {
    if (this.#isCancelled) return { status: 'cancelled' };
    if (this.#open.size > 0) return { status: 'input_required', inputRequests: asked([...this.#open]) };
    return Date.now() - this.#createdAt.getTime() < this.#job.ms ? { status: 'working' } : this.#job.end;
  }
}

function asked(keys: readonly string[]): Json {
  const requestedSchema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
  const params = { mode: 'form', message: 'Sure?', requestedSchema };
  return Object.fromEntries(keys.map((key) => [key, { method: 'elicitation/create', params }]));
}

interface Message {
  readonly id: unknown;
  readonly method: string;
  readonly params: Json;
}

/** Status and the answer without its id; `undefined`: not about tasks. */
type Answer = readonly [status: number, answer: Json] | undefined;

const undeclared: Answer = [
  400,
  {
    error: {
      code: -32_021,
      message: 'The tasks extension is needed',
      data: { requiredCapabilities: { extensions: { [tasksExtension]: {} } } },
    },
  },
];

export class Tasks {
  readonly #tasks = new Map<string, Task>();

  /** Whether it answered. */
  serve(request: Posted, response: ServerResponse, body: unknown): boolean {
    const message = body as Message;
    const found = this.#answer(message, request.headers['mcp-name']?.toString());
    if (found === undefined) return false;
    const [status, answer] = found;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id: message.id, ...answer }));
    return true;
  }

  #answer({ method, params }: Message, named: string | undefined): Answer {
    if (method === 'tools/call') return this.#call(String(params['name']), params);
    if (!['tasks/get', 'tasks/update', 'tasks/cancel'].includes(method)) return undefined;
    if (!isDeclared(params)) return undeclared;
    const taskId = String(params['taskId']);
    if (named !== taskId) return [400, { error: { code: -32_020, message: 'Mcp-Name is not the task' } }];
    const task = this.#tasks.get(taskId);
    if (task === undefined) return [200, { error: { code: -32_602, message: 'Unknown task' } }];
    if (method === 'tasks/cancel') task.cancel();
    if (method === 'tasks/update') task.answer(Object.keys(params['inputResponses'] ?? {}));
    const shown = method === 'tasks/get' ? { taskId, ...task.ttl, ...task.state() } : {};
    return [200, { result: { resultType: 'complete', ...shown } }];
  }

  #call(tool: string, params: Json): Answer {
    const job = jobs[tool]?.((params['arguments'] ?? {}) as Json, params['inputResponses']);
    if (job === undefined || job.ms + (job.asks?.length ?? 0) === 0) return undefined;
    if (!isDeclared(params)) return tool === 'failing_job' ? undeclared : undefined;
    if (job.asksFirst === true && params['inputResponses'] === undefined) {
      return [200, { result: { resultType: 'input_required', inputRequests: asked(['user_name']) } }];
    }
    const taskId = randomUUID();
    const task = new Task(job);
    this.#tasks.set(taskId, task);
    return [200, { result: { resultType: 'task', taskId, status: 'working', ...task.ttl } }];
  }
}

function isDeclared(params: Json): boolean {
  const meta = (params['_meta'] ?? {}) as Json;
  const { extensions } = (meta[CLIENT_CAPABILITIES_META_KEY] ?? {}) as { readonly extensions?: Json };
  return extensions?.[tasksExtension] !== undefined;
}

/** For lists, and for clients that do not know tasks. */
export function registerJobs(server: McpServer): void {
  for (const name of Object.keys(jobs)) {
    const inputSchema = z.object({ seconds: z.number().default(0), label: z.string().default('') }).loose();
    server.registerTool(name, { description: 'Takes long', inputSchema }, async ({ seconds, label }) => {
      await sleep(seconds * 1_000);
      return say(`computed ${label}`);
    });
  }
  const greeting = { description: 'Greets', inputSchema: z.object({ name: z.string() }) };
  server.registerTool('greet', greeting, ({ name }) => say(`Hello, ${name}!`));
}
