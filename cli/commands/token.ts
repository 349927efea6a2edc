import { askOperator } from '../ask-operator.ts';
import type { World } from '../commands.ts';
import { accessTokenHash, newAccessToken } from '../contract/access-token.ts';
import type { TokenView } from '../contract/responses.ts';
import { age, owner, table } from '../output.ts';

export interface CreateTokenOptions {
  readonly servers: readonly string[];
  readonly lifeSeconds: number | undefined;
  readonly title: string | undefined;
}

/** The token is made here, and only its hash is sent. It is on standard output once, and nowhere else. */
export async function createToken(world: World, { servers, lifeSeconds, title }: CreateTokenOptions): Promise<void> {
  const secret = newAccessToken();
  const control = {
    v: 1,
    operation: 'token-create',
    hash: accessTokenHash(secret),
    servers,
    ...(lifeSeconds === undefined ? {} : { lifeSeconds }),
    ...(title === undefined ? {} : { title }),
    ...tokenField(world),
  } as const;
  const { token, subject } = await askOperator(world, { control, headers: [] });
  if (world.output === 'json') return world.print(JSON.stringify({ ...token, subject, token: secret }, undefined, 2));
  world.say(
    `access token ${token.id} of ${owner(subject)} for ${token.servers.join(', ')}, until ${token.expiresAt}\n`,
  );
  world.say('it is shown this once; give it to your MCP client as Bearer token\n');
  world.print(secret);
}

export async function listTokens(world: World): Promise<void> {
  const control = { v: 1, operation: 'token-list', ...tokenField(world) } as const;
  const { tokens, subject } = await askOperator(world, { control, headers: [] });
  if (world.output === 'json') return world.print(JSON.stringify(tokens, undefined, 2));
  world.say(`access tokens of ${owner(subject)} in ${world.namespace}\n`);
  if (tokens.length === 0) return world.say('none; make one: kubectl mcpkeys token create --server <server>\n');
  world.print(table(['ID', 'TITLE', 'SERVERS', 'AGE', 'EXPIRES', 'LAST USED'], tokens.map(rowOf(world.now))));
}

/** A token that is not there is as good as revoked, and said so. */
export async function revokeToken(world: World, id: string): Promise<void> {
  const control = { v: 1, operation: 'token-revoke', id, ...tokenField(world) } as const;
  const { revoked, subject } = await askOperator(world, { control, headers: [] });
  if (world.output === 'json') return world.print(JSON.stringify({ id, revoked, subject }, undefined, 2));
  world.print(
    revoked ? `access token ${id} is revoked` : `${owner(subject)} has no access token ${id} in ${world.namespace}`,
  );
}

function rowOf(now: Date): (token: TokenView) => readonly string[] {
  return ({ id, title = '', servers, createdAt, expiresAt, usedAt }) => [
    id,
    title,
    servers.join(','),
    createdAt === undefined ? '' : age(createdAt, now),
    expiresAt,
    usedAt === undefined ? 'never' : `${age(usedAt, now)} ago`,
  ];
}

function tokenField({ token }: World): { readonly token?: string } {
  return token === undefined ? {} : { token };
}
