import { askOperator } from '../ask-operator.ts';
import type { World } from '../commands.ts';
import type { KeyCheck } from '../contract/responses.ts';
import { chooseHeaders, readHeaders, type KeySource } from '../read-headers.ts';

export interface TestOptions {
  readonly server: string;
  /** Try a key that is typed, and store nothing; else the key that is stored. */
  readonly typed: boolean;
  readonly headers: readonly string[];
  readonly source: KeySource;
}

/** Tries a key at its upstream, as a policy says. Resolves whether the upstream accepts it. */
export async function testKey(world: World, options: TestOptions): Promise<boolean> {
  const { server } = options;
  const token = world.token === undefined ? {} : { token: world.token };
  const values = options.typed ? await readValues(world, options) : [];
  try {
    const control = { v: 1, operation: 'test', server, ...token } as const;
    const { check, tried, subject } = await askOperator(world, { control, headers: values });
    if (world.output === 'json') world.print(JSON.stringify({ server, tried, subject, check }, undefined, 2));
    else world.print(describeCheck(check));
    return check?.verdict === 'Accepted';
  } finally {
    for (const { value } of values) value.fill(0);
  }
}

async function readValues(world: World, { server, headers, source }: TestOptions) {
  const token = world.token === undefined ? {} : { token: world.token };
  const control = { v: 1, operation: 'status', server, ...token } as const;
  const { key } = await askOperator(world, { control, headers: [] });
  return readHeaders(source, chooseHeaders(key.headers, headers));
}

/** One line, and what the administrator says of the key to make. */
export function describeCheck(check: KeyCheck | undefined): string {
  if (check === undefined)
    return '❔ no policy says how a key for this server is tried; its form is all that is checked';
  const { verdict, message, help } = check;
  if (verdict === undefined) return `❔ ${message} Nothing is known of the key.`;
  return `${verdict === 'Accepted' ? '✅' : '❌'} ${message}${help === undefined ? '' : `\n   ${help}`}`;
}
