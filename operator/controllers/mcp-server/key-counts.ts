import type { UserKey, UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import type { McpServerKeys } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { ServerRef } from '#contract/lease.ts';
import type { Change } from '#operator/kube/informer.ts';

type State = NonNullable<UserKeyStatus['state']>;
type Counted = Exclude<keyof McpServerKeys, 'users'>;

/** Where each state is counted; before there is one, a key is in `users` only. */
const countedAs: Readonly<Record<State, Counted>> = {
  Configured: 'configured',
  Missing: 'missing',
  Invalid: 'invalid',
  Expired: 'expired',
  Expiring: 'expiring',
  NeedsUpdate: 'needsUpdate',
  PendingApproval: 'pendingApproval',
  Revoked: 'revoked',
  Unverified: 'unverified',
};

const none: Readonly<Required<McpServerKeys>> = {
  users: 0,
  configured: 0,
  missing: 0,
  invalid: 0,
  expired: 0,
  expiring: 0,
  needsUpdate: 0,
  pendingApproval: 0,
  revoked: 0,
  unverified: 0,
};

/**
 * How many users of each server are in which state, kept up to date change by change: counting ten thousand UserKeys for each of
 * ten thousand changes would keep the operator busy for minutes.
 */
export class KeyCounts {
  readonly #byServer = new Map<string, Map<string, State | undefined>>();

  /** Takes in a change; returns the servers whose counts may differ now. */
  take(change: Change<UserKey>): readonly ServerRef[] {
    const server = serverOf(change.object);
    if (change.kind === 'deleted') {
      this.#remove(server, change.object.metadata.name);
      return [server];
    }
    const states = this.#byServer.get(keyOf(server)) ?? new Map<string, State | undefined>();
    const { name } = change.object.metadata;
    const state = change.object.status?.state;
    const known = states.has(name) && states.get(name) === state;
    states.set(name, state);
    this.#byServer.set(keyOf(server), states);
    return known ? [] : [server];
  }

  of(server: ServerRef): Required<McpServerKeys> {
    const counts = { ...none };
    for (const state of this.#byServer.get(keyOf(server))?.values() ?? []) {
      counts.users += 1;
      const counted = state === undefined ? undefined : countedAs[state];
      if (counted !== undefined) counts[counted] += 1;
    }
    return counts;
  }

  #remove(server: ServerRef, name: string): void {
    const states = this.#byServer.get(keyOf(server));
    states?.delete(name);
    if (states?.size === 0) this.#byServer.delete(keyOf(server));
  }
}

function serverOf({ metadata, spec }: UserKey): ServerRef {
  return { namespace: metadata.namespace ?? '', name: spec.serverRef.name };
}

function keyOf({ namespace, name }: ServerRef): string {
  return `${namespace}/${name}`;
}
