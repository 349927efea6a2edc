import type { World } from '#cli/commands.ts';
import { Kubectl } from '#cli/kubectl.ts';

/** A user in front of a terminal, and what it shows them. */
export function worldAtTerminal(now = new Date()): World & { readonly printed: string[]; readonly said: string[] } {
  const [printed, said]: [string[], string[]] = [[], []];
  return {
    kubectl: new Kubectl([]),
    namespace: 'team-a',
    operatorNamespace: 'mcp-keyring',
    timeoutMs: 1000,
    output: 'table',
    token: undefined,
    now,
    print: (text) => printed.push(text),
    say: (text) => said.push(text),
    printed,
    said,
  };
}
