/** Tools that need several rounds (SEP-2322, revision 2026-07-28): they ask in their result and are called again. */
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  createRequestStateCodec,
  type CallToolResult,
  type InputRequests,
  type InputRequiredResult,
  inputRequired,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { say } from './contents.ts';

interface State {
  readonly tool: string;
  readonly round?: number;
  readonly name?: string;
}

type Outcome = CallToolResult | InputRequiredResult;
type Round = (context: ServerContext) => Outcome | Promise<Outcome>;

/** What a client sends back is an attacker's to choose, so it is signed. */
export const stateCodec = createRequestStateCodec<State>({ key: crypto.getRandomValues(new Uint8Array(32)) });

function ask(message: string, field: string, type: 'string' | 'boolean' = 'string') {
  const property = type === 'string' ? { type } : { type };
  const requestedSchema = { type: 'object' as const, properties: { [field]: property }, required: [field] };
  return inputRequired.elicit({ message, requestedSchema });
}

function complete(question: string, maxTokens: number) {
  return inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: question } }],
    maxTokens,
  });
}

/** What was filled into a form, if it was accepted. */
function answerOf({ mcpReq }: ServerContext, key: string): Readonly<Record<string, string | boolean>> | undefined {
  return acceptedContent(mcpReq.inputResponses, key);
}

interface Response {
  readonly content?: { readonly text?: string };
  readonly roots?: readonly { readonly uri: string }[];
}

function responseOf({ mcpReq }: ServerContext, key: string): Response | undefined {
  return mcpReq.inputResponses?.[key] as Response | undefined;
}

const rounds: Readonly<Record<string, Round>> = {
  test_input_required_result_elicitation(context) {
    const name = answerOf(context, 'user_name')?.['name'];
    if (typeof name === 'string') return say(`Hello, ${name}!`);
    return inputRequired({ inputRequests: { user_name: ask('What is your name?', 'name') } });
  },
  test_input_required_result_sampling(context) {
    const response = responseOf(context, 'capital_question');
    if (response !== undefined) return say(`Sampling response: ${response.content?.text ?? ''}`);
    return inputRequired({ inputRequests: { capital_question: complete('What is the capital of France?', 100) } });
  },
  test_input_required_result_list_roots(context) {
    const roots = responseOf(context, 'client_roots')?.roots;
    if (roots !== undefined)
      return say(`Client exposed ${roots.length} root(s): ${roots.map(({ uri }) => uri).join(', ')}`);
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  },
  async test_input_required_result_request_state(context) {
    const state = context.mcpReq.requestState<State>();
    if (answerOf(context, 'confirm') !== undefined && state !== undefined)
      return say('state-ok: requestState verified');
    return confirmWith('request_state');
  },
  async test_input_required_result_tampered_state(context) {
    const state = context.mcpReq.requestState<State>();
    if (answerOf(context, 'confirm') !== undefined && state !== undefined) return say('integrity-ok');
    return confirmWith('tampered_state');
  },
  async test_input_required_result_multiple_inputs(context) {
    const name = answerOf(context, 'user_name')?.['name'];
    const greeting = responseOf(context, 'greeting')?.content?.text;
    const roots = responseOf(context, 'client_roots')?.roots;
    if (typeof name === 'string' && greeting !== undefined && roots !== undefined) {
      return say(`${greeting} ${name}: ${roots.length} root(s)`);
    }
    return inputRequired({
      inputRequests: {
        user_name: ask('What is your name?', 'name'),
        greeting: complete('Generate a greeting', 50),
        client_roots: inputRequired.listRoots(),
      },
      requestState: await stateCodec.mint({ tool: 'multiple_inputs' }),
    });
  },
  async test_input_required_result_multi_round(context) {
    const { tool, round = 0, name } = context.mcpReq.requestState<State>() ?? { tool: 'multi_round' };
    if (tool !== 'multi_round' || round === 0) return multiRound(1, ask('Step 1: What is your name?', 'name'));
    if (round === 1) {
      const given = String(answerOf(context, 'step1')?.['name'] ?? 'unknown');
      return multiRound(2, ask('Step 2: What is your favorite color?', 'color'), given);
    }
    const color = String(answerOf(context, 'step2')?.['color'] ?? 'unknown');
    return say(`Multi-round complete: ${name ?? 'unknown'} likes ${color}`);
  },
  test_input_required_result_capabilities(context) {
    if (context.mcpReq.inputResponses !== undefined) return say('Capability-aware input requests fulfilled');
    // The published type of the envelope has no members.
    const envelope = context.mcpReq.envelope as Readonly<Record<string, ClientCapabilities>> | undefined;
    const declared = envelope?.[CLIENT_CAPABILITIES_META_KEY];
    const inputRequests: InputRequests = {
      ...(declared?.elicitation !== undefined && { user_name: ask('What is your name?', 'name') }),
      ...(declared?.sampling !== undefined && { greeting: complete('Generate a short greeting', 50) }),
      ...(declared?.roots !== undefined && { client_roots: inputRequired.listRoots() }),
    };
    return Object.keys(inputRequests).length === 0 ? say('nothing to ask with') : inputRequired({ inputRequests });
  },
};

async function confirmWith(tool: string): Promise<Outcome> {
  return inputRequired({
    inputRequests: { confirm: ask('Please confirm', 'ok', 'boolean') },
    requestState: await stateCodec.mint({ tool }),
  });
}

async function multiRound(round: number, question: ReturnType<typeof ask>, name?: string): Promise<Outcome> {
  return inputRequired({
    inputRequests: { [`step${round}`]: question },
    requestState: await stateCodec.mint({ tool: 'multi_round', round, ...(name !== undefined && { name }) }),
  });
}

export function registerRounds(server: McpServer): void {
  for (const [name, round] of Object.entries(rounds)) {
    const description = 'Asks in its result (SEP-2322)';
    server.registerTool(name, { description, inputSchema: z.object({}) }, (_args, context) => round(context));
  }
  server.registerPrompt('test_input_required_result_prompt', { description: 'Asks before it renders' }, (context) => {
    const given = answerOf(context, 'user_context')?.['context'];
    if (typeof given !== 'string') {
      return inputRequired({ inputRequests: { user_context: ask('What context should the prompt use?', 'context') } });
    }
    return {
      messages: [{ role: 'user', content: { type: 'text', text: `Use the following context: ${given}` } }],
    };
  });
}
