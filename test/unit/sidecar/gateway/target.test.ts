import { expect, test } from 'vitest';
import { targetOf } from '#sidecar/gateway/target.ts';

const server = { namespace: 'team-a', name: 'notes' };
const prefix = '/team-a/notes';

test.each([
  ['/team-a/notes/mcp', '/mcp'],
  ['/team-a/notes/messages/1', '/messages/1'],
  ['/.well-known/oauth-protected-resource/team-a/notes/mcp', '/.well-known/oauth-protected-resource/mcp'],
])('%s is of a server', (path, own) => {
  expect(targetOf(path)).toEqual({ server, prefix, path: own });
});

test.each([
  '/',
  '/mcp',
  '/team-a',
  '/team-a/notes',
  '/team-a/notes/',
  '//notes/mcp',
  '/Team-A/notes/mcp',
  '/team-a/Notes/mcp',
  '/team_a/notes/mcp',
  '/team-a/9notes/mcp',
  '/-a/notes/mcp',
  '/a-/notes/mcp',
  '/team%2Da/notes/mcp',
  '/../notes/mcp',
  '/.well-known/oauth-protected-resource',
  '/.well-known/oauth-protected-resource/team-a/notes',
  '/team.a/notes/mcp',
  `/${'a'.repeat(64)}/notes/mcp`,
  `/team-a/${'a'.repeat(47)}/mcp`,
  '/.well-known/openid-configuration/team-a/notes/mcp',
])('%s is of none', (path) => {
  expect(targetOf(path)).toBeUndefined();
});
