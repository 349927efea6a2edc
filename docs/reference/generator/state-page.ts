import { keyStates } from '#operator/key-state/key-states.ts';

import { code, prose, table } from './markdown.ts';

const intro = `# States of a key

<!-- Generated from operator/key-state/key-states.ts by docs/reference/generate.ts; edit that file. -->

What is true of a user's key at a server is found anew whenever somebody asks, from the record of the UserKey, the sealed key, the policies for that user and the time: the
worst first. The same table decides \`status.state\` of the UserKey, the counts of the McpServer (\`status.keys\`), \`mcpkeyring_user_keys\`, what the CLI shows, and what a proxy gets that asks for the key.
`;

const leases: Readonly<Record<(typeof keyStates)[keyof typeof keyStates]['lease'], string>> = {
  granted: 'gets the key',
  missing: 'none; the user is asked to set it',
  invalid: 'none; the user is asked to set a new one',
  expired: 'none; the user is asked to set a new one',
  pendingApproval: 'none; the user is told that it waits',
  unreadable: 'none; a denial on record',
};

export function statePage(): string {
  const rows = Object.values(keyStates).map(({ state, meaning, causes, lease, cure }) => [
    code(state),
    prose(meaning),
    causes.join(', '),
    prose(leases[lease]),
    prose(cure),
  ]);
  return [intro, table(['state', 'what is true', 'brought about by', 'a proxy', 'what helps'], rows), ''].join('\n');
}
