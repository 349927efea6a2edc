import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { uuidOf } from '#operator/audit/event-ids.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { type Controller, startController } from '#operator/kube/controller-runner.ts';
import type { Informer } from '#operator/kube/informer.ts';
import { accessTokens } from '#operator/kube/keyring-resources.ts';
import type { ControllerObserver, Log, WorkQueueObserver } from '#operator/kube/observers.ts';
import { requestKeyOf } from '#operator/kube/request-key.ts';

import { tokenEvent } from './token-event.ts';

export interface TokenLifeOptions {
  readonly client: Pick<KubeClient, 'delete'>;
  readonly tokens: Pick<Informer<AccessToken>, 'store' | 'onChange'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly log: Log;
  readonly now: () => Date;
  readonly controllerObserver?: ControllerObserver;
  readonly queueObserver?: WorkQueueObserver;
}

/** Longest that a timer waits; the end of a token may be far off. */
const waitMsMax = 3_600_000;

/** What is on record when somebody deletes the object instead of asking the operator. */
const deletedBy = 'somebody who deleted the AccessToken';

/** On the leader: removes tokens that have ended, and puts on record that one was deleted. */
export function startTokenLife(options: TokenLifeOptions): Controller {
  const { client, tokens, audit, log, now, controllerObserver, queueObserver } = options;
  const controller = startController({
    name: 'access-token',
    workers: 1,
    reconcile: async ({ namespace = '', name }) => {
      const token = tokens.store.get(namespace, name);
      if (token === undefined) return {};
      const leftMs = Date.parse(token.spec.expiresAt) - now().getTime();
      if (leftMs > 0) return { requeueAfterMs: Math.min(leftMs, waitMsMax) };
      const { uid } = token.metadata;
      await client.delete(accessTokens, { namespace, name }, uid === undefined ? {} : { preconditionUid: uid });
      return {};
    },
    log,
    ...(controllerObserver !== undefined && { observer: controllerObserver }),
    ...(queueObserver !== undefined && { queueObserver }),
  });
  tokens.onChange(({ kind, object }) => {
    if (kind !== 'deleted') return controller.enqueue(requestKeyOf(object));
    if (Date.parse(object.spec.expiresAt) <= now().getTime()) return;
    const id = uuidOf(`token.revoked/${object.metadata.uid}`);
    const event = tokenEvent(object, { type: 'token.revoked', id, at: now(), actor: deletedBy });
    audit.append(event).catch((error: unknown) => {
      log.error('the end of an access token is not on record', error instanceof Error ? { error } : {});
    });
  });
  return controller;
}
